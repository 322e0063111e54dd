// Java's Apache Commons Net: it never resumes a TLS session on data connections.
import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import org.apache.commons.net.ftp.FTP;
import org.apache.commons.net.ftp.FTPFile;
import org.apache.commons.net.ftp.FTPSClient;

public final class CommonsNet {
    private static Map<String, String> settings = System.getenv();
    private static String folder = "";

    private static String setting(String name) {
        return settings.get(name);
    }

    /** A process of Java cannot change its working directory. */
    private static String here(String name) {
        return Path.of(folder, name).toString();
    }

    private static SSLContext trusting(String file) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null);
        try (InputStream stream = new FileInputStream(file)) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(stream));
        }
        TrustManagerFactory factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        factory.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, factory.getTrustManagers(), null);
        return context;
    }

    private static void must(boolean good, FTPSClient ftp) throws IOException {
        if (!good) {
            throw new IOException(ftp.getReplyString());
        }
    }

    private static void show(FTPFile[] entries) {
        for (FTPFile entry : entries) {
            if (!List.of(".", "..").contains(entry.getName())) {
                System.out.println(entry.getName());
            }
        }
    }

    private static void run(FTPSClient ftp, String[] words) throws Exception {
        switch (words[0]) {
            case "mkdir" -> must(ftp.makeDirectory(words[1]), ftp);
            case "put", "reput" -> {
                try (InputStream source = new FileInputStream(here(words[1]))) {
                    if (words[0].equals("reput")) {
                        long size = Long.parseLong(ftp.getSize(words[2]));
                        source.skipNBytes(size);
                        ftp.setRestartOffset(size);
                    }
                    must(ftp.storeFile(words[2], source), ftp);
                }
            }
            case "get", "reget" -> {
                boolean goesOn = words[0].equals("reget");
                if (goesOn) {
                    ftp.setRestartOffset(Files.size(Path.of(here(words[2]))));
                }
                try (OutputStream target = new FileOutputStream(here(words[2]), goesOn)) {
                    must(ftp.retrieveFile(words[1], target), ftp);
                }
            }
            case "list" -> show(ftp.listFiles());
            case "mlsd" -> show(ftp.mlistDir());
            case "nlst" -> System.out.println(String.join("\n", ftp.listNames()));
            case "size" -> System.out.println(ftp.getSize(words[1]));
            case "time" -> System.out.println(ftp.mdtmFile(words[1]).getTimestamp().toInstant().getEpochSecond());
            case "rename" -> must(ftp.rename(words[1], words[2]), ftp);
            case "delete" -> must(ftp.deleteFile(words[1]), ftp);
            default -> throw new IllegalArgumentException(words[0]);
        }
    }

    private static void work() throws Exception {
        FTPSClient ftp = new FTPSClient(setting("FTP_MODE").equals("implicit"), trusting(setting("FTP_CA")));
        try {
            session(ftp);
        } finally {
            if (ftp.isConnected()) {
                ftp.disconnect();
            }
        }
    }

    private static void session(FTPSClient ftp) throws Exception {
        ftp.setEndpointCheckingEnabled(true);
        ftp.setControlEncoding("UTF-8");
        ftp.setUseEPSVwithIPv4(true);
        ftp.connect(setting("FTP_HOST"), Integer.parseInt(setting("FTP_PORT")));
        must(ftp.login(setting("FTP_USER"), setting("FTP_PASSWORD")), ftp);
        ftp.execPBSZ(0);
        ftp.execPROT("P");
        if (!"default".equals(setting("FTP_TYPE"))) {
            ftp.setFileType(FTP.BINARY_FILE_TYPE);
        }
        if (setting("FTP_DATA").equals("passive")) {
            ftp.enterLocalPassiveMode();
        } else {
            ftp.enterLocalActiveMode();
        }
        for (String line : Files.readAllLines(Path.of(here("job.tsv")))) {
            run(ftp, line.split("\t"));
        }
        ftp.logout();
    }

    /** Does the job of its environment, or as a resident (residents.py) one job after the other. */
    public static void main(String[] arguments) throws Exception {
        System.setOut(new java.io.PrintStream(System.out, true, StandardCharsets.UTF_8));
        if (arguments.length == 0) {
            work();
            return;
        }
        BufferedReader jobs = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = jobs.readLine(); line != null; line = jobs.readLine()) {
            folder = line;
            settings = Files.readAllLines(Path.of(here("job.env"))).stream()
                .map(pair -> pair.split("=", 2))
                .collect(Collectors.toMap(pair -> pair[0], pair -> pair[1]));
            int code = 0;
            try {
                work();
            } catch (Exception error) {
                error.printStackTrace();
                code = 1;
            }
            System.out.println("\u001e" + code);
        }
    }
}
