// Node's basic-ftp: it resumes the newest session of the server by itself.
//
// A resident (residents.py): each job has a client, connections and TLS sessions of its own.
import { readFileSync, statSync } from "node:fs"
import { createRequire } from "node:module"
import { createInterface } from "node:readline"

const { Client } = createRequire(`${process.argv[2]}/`)("basic-ftp")

function lines(file) {
    return readFileSync(file, "utf8").split("\n").filter(Boolean)
}

async function show(ftp, command) {
    ftp.availableListCommands = [command]
    for (const entry of await ftp.list()) console.log(entry.name)
}

async function job(folder) {
    process.chdir(folder)
    const env = Object.fromEntries(lines("job.env").map(line => line.split(/=(.*)/s).slice(0, 2)))
    const ftp = new Client(30000)
    const work = {
        mkdir: name => ftp.ensureDir(name),
        put: (local, remote) => ftp.uploadFrom(local, remote),
        get: (remote, local) => ftp.downloadTo(local, remote),
        reget: (remote, local) => ftp.downloadTo(local, remote, statSync(local).size),
        reput: async (local, remote) => ftp.appendFrom(local, remote, { localStart: await ftp.size(remote) }),
        list: () => show(ftp, "LIST"),
        mlsd: () => show(ftp, "MLSD"),
        size: async name => console.log(await ftp.size(name)),
        time: async name => console.log((await ftp.lastMod(name)).getTime() / 1000),
        rename: (from, to) => ftp.rename(from, to),
        delete: name => ftp.remove(name),
    }
    try {
        await ftp.access({
            host: env.FTP_HOST,
            port: Number(env.FTP_PORT),
            user: env.FTP_USER,
            password: env.FTP_PASSWORD,
            secure: env.FTP_MODE === "implicit" ? "implicit" : true,
            secureOptions: { ca: readFileSync(env.FTP_CA) },
        })
        for (const line of lines("job.tsv")) {
            const [operation, ...words] = line.split("\t")
            await work[operation](...words)
        }
        return 0
    } catch (error) {
        console.error(error)
        return 1
    } finally {
        ftp.close()
    }
}

for await (const folder of createInterface({ input: process.stdin })) {
    const code = await job(folder)
    process.stdout.write(`\x1e${code}\n`)
}
