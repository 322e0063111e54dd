// Node's basic-ftp: it resumes the newest session of the server by itself.
import { readFileSync, statSync } from "node:fs"
import { createRequire } from "node:module"

const env = process.env
const { Client } = createRequire(`${env.FTP_NODE_MODULES}/`)("basic-ftp")
const ftp = new Client(30000)
const work = {
    mkdir: name => ftp.ensureDir(name),
    put: (local, remote) => ftp.uploadFrom(local, remote),
    get: (remote, local) => ftp.downloadTo(local, remote),
    reget: (remote, local) => ftp.downloadTo(local, remote, statSync(local).size),
    reput: async (local, remote) => ftp.appendFrom(local, remote, { localStart: await ftp.size(remote) }),
    list: () => show("LIST"),
    mlsd: () => show("MLSD"),
    size: async name => console.log(await ftp.size(name)),
    time: async name => console.log((await ftp.lastMod(name)).getTime() / 1000),
    rename: (from, to) => ftp.rename(from, to),
    delete: name => ftp.remove(name),
}

async function show(command) {
    ftp.availableListCommands = [command]
    for (const entry of await ftp.list()) console.log(entry.name)
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
    for (const line of readFileSync("job.tsv", "utf8").split("\n").filter(Boolean)) {
        const [operation, ...words] = line.split("\t")
        await work[operation](...words)
    }
} catch (error) {
    console.error(error)
    process.exitCode = 1
} finally {
    ftp.close()
}
