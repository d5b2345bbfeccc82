// Streams, formatting, files and the file system, which are the compiled part of the library.
// Every: 12
#include <chrono>
#include <clocale>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <iterator>
#include <locale>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

namespace fs = std::filesystem;

struct Point {
  int x, y;
  friend std::ostream& operator<<(std::ostream& out, const Point& p) { return out << '(' << p.x << ", " << p.y << ')'; }
  friend std::istream& operator>>(std::istream& in, Point& p) {
    char c;
    return in >> c >> p.x >> c >> p.y >> c;
  }
};

/// A buffer of the program's own under a stream of the library's.
struct Upper : std::streambuf {
  std::string text;
  int overflow(int c) override {
    if (c != traits_type::eof()) text += static_cast<char>(std::toupper(c));
    return c;
  }
};

int main() {
  std::cout << "numbers " << 42 << ' ' << -7L << ' ' << 3.25 << ' ' << 1e300 << ' ' << true << ' ' << 'c' << '\n';
  std::ostringstream out;
  out << std::hex << std::showbase << 255 << ' ' << std::oct << 8 << ' ' << std::dec << std::setw(8)
      << std::setfill('*') << 42 << std::setprecision(10) << ' ' << 3.14159265358979 << ' ' << std::fixed
      << std::setprecision(3) << 2.0 / 3 << ' ' << std::scientific << 12345.678 << ' ' << std::boolalpha << false << ' '
      << std::left << std::setw(6) << "ab" << '|';
  std::cout << out.str() << std::endl;
  std::istringstream in("12 3.5 word 0x1f (4, 5) last line\nnext");
  int i;
  double d;
  std::string w, line;
  unsigned h;
  Point p;
  in >> i >> d >> w >> std::hex >> h >> std::dec >> p;
  std::getline(in, line);
  std::cout << i * 2 << ' ' << d * 2 << ' ' << w << ' ' << h << ' ' << p << line << '\n';
  in >> i;
  std::cout << "fail " << in.fail() << " eof " << in.eof() << '\n';
  try {
    in.exceptions(std::ios::failbit);
  } catch (const std::ios_base::failure&) {
    std::cout << "failure\n";
  }
  Upper upper;
  std::ostream loud(&upper);
  loud << "loud " << p << ' ' << 7;
  std::cout << upper.text << '\n';
  std::cout << std::use_facet<std::ctype<char>>(std::locale()).toupper('q') << std::quoted("a \"b\"") << '\n';

  const fs::path folder = fs::current_path() / "streams.folder";
  fs::remove_all(folder);
  fs::create_directories(folder / "a" / "b");
  for (int n = 0; n < 20; n++) {
    std::ofstream file(folder / "a" / ("file" + std::to_string(n)));
    for (int k = 0; k <= n; k++) file << Point{n, k} << '\n';
  }
  long sum = 0;
  int files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    files++;
    std::ifstream file(entry.path());
    for (Point q; file >> q;) sum += q.x * q.y;
  }
  std::cout << files << " files, sum " << sum << ", size " << fs::file_size(folder / "a/file19") << '\n';
  std::fstream both(folder / "both", std::ios::in | std::ios::out | std::ios::trunc);
  both << "one two three";
  both.seekp(4);
  both << "TWO";
  both.seekg(0);
  std::getline(both, line);
  std::cout << line << ' ' << both.eof() << '\n';
  both.close();
  fs::rename(folder / "both", folder / "renamed");
  fs::copy(folder / "renamed", folder / "copied");
  fs::create_symlink("copied", folder / "link");
  std::cout << fs::exists(folder / "both") << fs::is_symlink(folder / "link") << ' ' << fs::file_size(folder / "link")
            << ' ' << fs::read_symlink(folder / "link") << ' ' << fs::path("/x/./y/../z.tar.gz").lexically_normal()
            << ' ' << fs::path("/x/z.tar.gz").stem() << fs::path("a/b").extension() << '\n';
  std::error_code trouble;
  fs::file_size(folder / "none", trouble);
  std::cout << trouble.message() << ' ' << (trouble == std::errc::no_such_file_or_directory) << '\n';
  try {
    fs::create_directory(folder / "none" / "deeper");
  } catch (const fs::filesystem_error& e) {
    std::cout << "code " << e.code().value() << '\n';
  }
  std::cout << (fs::remove_all(folder) > 20) << '\n';
  std::vector<int> numbers{5, 6, 7};
  std::copy(numbers.begin(), numbers.end(), std::ostream_iterator<int>(std::cout, ";"));
  using namespace std::chrono;
  std::cout << '\n'
            << duration_cast<milliseconds>(90s).count() << ' ' << (steady_clock::now().time_since_epoch().count() > 0)
            << '\n';
  std::wostringstream wide;
  wide << L"wide " << 1.5 << L' ' << std::hex << 255;
  for (wchar_t c : wide.str()) std::cout << static_cast<char>(c);
  std::cout << std::endl;
  std::clog << std::flush;
  std::printf("printf %d\n", 1);
}
