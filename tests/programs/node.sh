# what: Node.js: timers, worker threads, the file system, compiled code
# needs: node
# files: log.txt
setup() {
  cat > job.js << 'END'
const { Worker, isMainThread, parentPort } = require('worker_threads');
const crypto = require('crypto'), fs = require('fs');
const hash = (x) => crypto.createHash('sha256').update(String(x)).digest('hex');
if (!isMainThread) {
  parentPort.on('message', ({ turn, value }) => {
    let x = value;
    for (let i = 0; i < 25000; i++) x = hash(x + turn);
    parentPort.postMessage(x);
  });
} else {
  const workers = [new Worker(__filename), new Worker(__filename)];
  const ask = (worker, message) => new Promise((done) => { worker.once('message', done); worker.postMessage(message); });
  (async () => {
    let value = 'start';
    for (let turn = 0; turn < 140; turn++) {
      const parts = await Promise.all(workers.map((w, i) => ask(w, { turn, value: value + i })));
      value = hash(parts.join());
      fs.appendFileSync('log.txt', value + '\n');
      let heap = [];
      for (let i = 0; i < 50000; i++) heap.push({ i, s: value.slice(i % 60) });
      await new Promise((done) => setTimeout(done, 2));
      console.log(turn, value.slice(0, 16), heap.filter((o) => o.s.startsWith('a')).length);
    }
    workers.forEach((w) => w.terminate());
  })();
}
END
}
work() { exec node job.js; }
