/* A server of many threads that uses of its runtime what tracers get wrong: null checks by
 * SIGSEGV, safepoints, garbage collections, timed waits, short threads. GET /number/N answers
 * 2 N, GET /file/NAME the file, 503 with the reason if it cannot be read, GET /child/N the status
 * N that a child ends with. */

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

public class Numbers {
    static int[] nothing;

    static int caught(int number) {
        try {
            return nothing[number];
        } catch (NullPointerException expected) {
            return 2 * number;
        }
    }

    static byte[] number(int number) {
        byte[][] garbage = new byte[64][];
        int sum = 0;
        for (int turn = 0; turn < 64; turn++) {
            garbage[turn] = new byte[4096];
            garbage[turn][turn] = 1;
            if (caught(number) != 2 * number) throw new IllegalStateException();
        }
        for (byte[] some : garbage) for (byte one : some) sum += one;
        return Integer.toString(2 * number + sum - 64).getBytes();
    }

    static byte[] apart(int number) throws InterruptedException {
        byte[][] found = new byte[1][];
        Thread worker = new Thread(() -> found[0] = number(number));
        worker.start();
        worker.join();
        return found[0];
    }

    static byte[] child(String status) throws IOException, InterruptedException {
        Process made = new ProcessBuilder("sh", "-c", "exit " + status).start();
        return Integer.toString(made.waitFor()).getBytes();
    }

    static void answer(HttpExchange exchange) throws IOException {
        String[] words = exchange.getRequestURI().getPath().split("/");
        int status = 200;
        byte[] body;
        try {
            body = switch (words[1]) {
                case "number" -> apart(Integer.parseInt(words[2]));
                case "child" -> child(words[2]);
                default -> Files.readAllBytes(Path.of(words[2]));
            };
        } catch (InterruptedException error) {
            throw new IllegalStateException(error);
        } catch (IOException error) {
            status = 503;
            body = error.toString().getBytes();
        }
        exchange.sendResponseHeaders(status, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }

    public static void main(String[] words) throws IOException {
        Semaphore never = new Semaphore(0);
        for (int turn = 0; turn < 10; turn++) {
            Thread waiter = new Thread(() -> {
                try {
                    while (!never.tryAcquire(20, TimeUnit.MILLISECONDS));
                } catch (InterruptedException error) {
                    throw new IllegalStateException(error);
                }
            });
            waiter.setDaemon(true);
            waiter.start();
        }
        InetAddress here = InetAddress.getByName("127.0.0.1");
        HttpServer server =
            HttpServer.create(new InetSocketAddress(here, Integer.parseInt(words[0])), 100);
        server.createContext("/", Numbers::answer);
        server.setExecutor(Executors.newFixedThreadPool(16));
        server.start();
    }
}
