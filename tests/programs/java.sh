# what: OpenJDK 17: four threads, locks, garbage collection, just-in-time compilation, an unmodified JVM
# needs: java javac
setup() {
  cat > Job.java << 'END'
import java.util.*;
import java.util.concurrent.*;

public class Job {
    static long work(int turn, int part, Map<Long, byte[]> shared) {
        long x = turn * 31L + part;
        for (int i = 0; i < 150_000; i++) {
            x = x * 6364136223846793005L + 1442695040888963407L;
            if ((i & 63) == 0) shared.put((x >>> 40) % 5000 + part * 10000L, new byte[256 + (int) (x >>> 56)]);
        }
        return x;
    }
    public static void main(String[] arguments) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(4);
        Map<Long, byte[]> shared = new ConcurrentHashMap<>();
        long sum = 0;
        for (int turn = 0; turn < 4000; turn++) {
            List<Future<Long>> parts = new ArrayList<>();
            for (int part = 0; part < 4; part++) { int t = turn, p = part; parts.add(pool.submit(() -> work(t, p, shared))); }
            for (Future<Long> part : parts) sum = sum * 31 + part.get();
            if (turn % 10 == 9) System.out.println(turn + " " + Long.toHexString(sum) + " " + shared.size());
        }
        long bytes = 0;
        for (byte[] block : shared.values()) bytes += block.length;
        System.out.println("bytes " + bytes);
        pool.shutdown();
    }
}
END
  javac Job.java
}
work() { exec java -Xmx256m -cp . Job; }
