# what: an interactive bash in a terminal, with a job in the background and one that is stopped and continued
# needs: script
# files: background.txt
setup() {
  cat > typed << 'END'
PS1='> '; stty rows 33 cols 111; stty size
(for i in $(seq 60); do echo $i >> background.txt; sleep 0.05; done; echo done >> background.txt) &
x=0; for i in $(seq 30000); do x=$(((x * 31 + i) % 1000003)); done; echo x is $x
sleep 1
set -m; sleep 100 & kill -STOP $!; sleep 0.3; ps -o stat= -p $! | cut -c1; kill -CONT $!; sleep 0.3; kill $!; wait $!; echo ended with $?
for i in $(seq 40000); do x=$(((x * 17 + i) % 1000003)); done; echo x is $x; stty size
wait; tail -1 background.txt
touch finished; exit 5
END
}
work() {
  # What a person types arrives line by line; script(1) holds the terminal's other end.
  { while IFS= read -r line; do printf '%s\n' "$line"; sleep 0.4; done < typed; until [ -e finished ]; do sleep 0.1; done; } |
    TERM=dumb script -q -e -f -c 'bash --norc --noprofile -i' /dev/null > raw.txt || status=$?
  echo "status ${status:-0}"
  tr -d '\r' < raw.txt | grep -E '^(x is|ended with|33 111$|done$|T$)'
}
