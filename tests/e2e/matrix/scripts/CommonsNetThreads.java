// Commons Net from several threads: each has its own session and brings its share of the folder up, and back down.
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.net.Socket;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSession;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;
import org.apache.commons.net.ftp.FTP;
import org.apache.commons.net.ftp.FTPSClient;

public final class CommonsNetThreads {
    // JSSE keeps sessions by host and port. This is how users of NET-408 let a data connection find the control's.
    private static final class Resuming extends FTPSClient {
        Resuming(boolean isImplicit, SSLContext context) {
            super(isImplicit, context);
        }

        @Override
        protected void _prepareDataSocket_(Socket socket) throws IOException {
            try {
                SSLSession session = ((SSLSocket) _socket_).getSession();
                Field field = session.getSessionContext().getClass().getDeclaredField("sessionHostPortCache");
                field.setAccessible(true);
                Object cache = field.get(session.getSessionContext());
                Method put = cache.getClass().getDeclaredMethod("put", Object.class, Object.class);
                put.setAccessible(true);
                for (String host : List.of(socket.getInetAddress().getHostName(), socket.getInetAddress().getHostAddress())) {
                    put.invoke(cache, host + ":" + socket.getPort(), session);
                }
            } catch (ReflectiveOperationException error) {
                throw new IOException(error);
            }
        }
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

    private static Void transfer(SSLContext context, List<String> names) throws Exception {
        boolean isImplicit = System.getenv("FTP_MODE").equals("implicit");
        boolean resumes = System.getenv("FTP_RESUME").equals("yes");
        FTPSClient ftp = resumes ? new Resuming(isImplicit, context) : new FTPSClient(isImplicit, context);
        ftp.connect("127.0.0.1", Integer.parseInt(System.getenv("FTP_PORT")));
        must(ftp.login(System.getenv("FTP_USER"), System.getenv("FTP_PASSWORD")), ftp);
        ftp.execPBSZ(0);
        ftp.execPROT("P");
        must(ftp.setFileType(FTP.BINARY_FILE_TYPE), ftp);
        ftp.enterLocalPassiveMode();
        for (String name : names) {
            try (InputStream source = new FileInputStream("up/" + name)) {
                must(ftp.storeFile(name, source), ftp);
            }
        }
        for (String name : names) {
            try (OutputStream target = new FileOutputStream("down/" + name)) {
                must(ftp.retrieveFile(name, target), ftp);
            }
        }
        ftp.logout();
        ftp.disconnect();
        return null;
    }

    public static void main(String[] arguments) throws Exception {
        SSLContext context = trusting(System.getenv("FTP_CA"));
        int threads = Integer.parseInt(System.getenv("FTP_THREADS"));
        List<List<String>> shares = new ArrayList<>();
        for (int number = 0; number < threads; number++) {
            shares.add(new ArrayList<>());
        }
        String[] names = Path.of("up").toFile().list();
        Arrays.sort(names);
        for (int number = 0; number < names.length; number++) {
            shares.get(number % threads).add(names[number]);
        }
        ExecutorService pool = Executors.newFixedThreadPool(threads);
        List<Callable<Void>> work = new ArrayList<>();
        for (List<String> share : shares) {
            work.add(() -> transfer(context, share));
        }
        try {
            for (Future<Void> done : pool.invokeAll(work)) {
                done.get();
            }
        } finally {
            pool.shutdownNow();
        }
    }
}
