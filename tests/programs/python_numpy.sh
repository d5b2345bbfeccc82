# what: Python 3 with numpy: matrix products on two threads, dictionaries, generators
# needs: numpy
setup() {
  cat > job.py << 'END'
import hashlib, os
import numpy

random = numpy.random.default_rng(7)
matrix = random.integers(0, 50, (600, 600)).astype(float)
words = {}
for turn in range(70):
    product = matrix @ matrix.T
    matrix = numpy.mod(product, 47)
    image = numpy.fft.rfft2(matrix)
    for value in matrix[turn % 600]:
        words.setdefault(f"word{int(value)}", []).append(turn)
    print(turn, hashlib.sha256(matrix.tobytes()).hexdigest()[:16], round(float(abs(image[3, 5])), 3), len(words), flush=True)
print(hashlib.sha256(repr(sorted(words.items())).encode()).hexdigest())
END
}
work() { export OPENBLAS_NUM_THREADS=2; exec /usr/bin/python3 job.py; }
