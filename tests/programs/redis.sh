# what: redis-server with an append-only file; clients come and go
# needs: redis-server redis-cli
setup() { mkdir -p state; }
work() {
  redis-server --port 0 --unixsocket "$PWD/redis.sock" --dir state --appendonly yes --save '' --daemonize no --logfile redis.log &
  server=$!
  until redis-cli -s redis.sock ping > /dev/null 2>&1; do sleep 0.05; done
  for i in $(seq 30); do
    seq 2000 | awk -v n="$i" '{ print "INCRBY counter:" $1 % 97, $1 * n; print "LPUSH list:" n, $1; print "HSET hash " $1 * n % 5003, n }' |
      redis-cli -s redis.sock > /dev/null
    echo "$i $(redis-cli -s redis.sock get counter:5) $(redis-cli -s redis.sock dbsize) $(redis-cli -s redis.sock debug digest)"
    sleep 0.05
  done
  redis-cli -s redis.sock shutdown || true
  wait $server
}
