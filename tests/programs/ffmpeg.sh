# what: ffmpeg transcoding video and sound
# needs: ffmpeg
# files: out.mkv
setup() {
  ffmpeg -v error -nostdin -f lavfi -i testsrc2=size=640x360:rate=25 -f lavfi -i 'sine=frequency=440' -t 45 \
    -c:v mpeg2video -q:v 4 -c:a flac -threads 1 in.mkv
}
work() {
  ffmpeg -v error -nostdin -y -i in.mkv -vf 'scale=854:480,unsharp' -c:v mpeg4 -q:v 3 -c:a ac3 -threads 2 -flags +bitexact -fflags +bitexact out.mkv
  sha256sum out.mkv
  ffmpeg -v error -nostdin -i out.mkv -f md5 -
}
