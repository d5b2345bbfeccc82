# what: sqlite3 on a database with a write-ahead log
# needs: sqlite3
setup() {
  {
    echo 'pragma journal_mode=wal; pragma synchronous=off; create table t (id integer primary key, a int, b text); create index ta on t (a);'
    for i in $(seq 130); do
      echo "begin; insert into t (a, b) with recursive n (x) as (select 1 union all select x + 1 from n where x < 6000) select (x * 7919 + $i) % 10007, printf('%d-%s', x, hex(x * $i)) from n; commit;"
      echo "update t set a = a + $i where id % 13 = $i % 13; delete from t where id % 29 = $i % 29;"
      echo "select $i, count(*), sum(a), max(b) from t;"
    done
    echo 'select sum(a * id % 1009), group_concat(substr(b, 1, 2)) from (select * from t order by a, id limit 500);'
  } > job.sql
}
work() { exec sqlite3 data.db < job.sql; }
