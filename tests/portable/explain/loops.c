// Loops without an adaptation point.
#include <godwit.h>

int search(const int* a, int pivot, int n) {
  int all = 0;
  for (int k = 0; k < n; k++) {
    int i = 0;
    while (a[i] < pivot) i++;  // expect: warning unbounded-loop
    all += i;
  }
  return all;
}

int search_with_points(const int* a, int pivot, int n) {
  int all = 0;
  for (int k = 0; k < n; k++) {
    int i = 0;
    while (a[i] < pivot) {
      i++;
      godwit_adaptation_point();
    }
    all += i;
  }
  return all;
}

// It stands in the report, but isn't the worst.
double sum(const double* a, long n) {
  double s = 0;
  for (long i = 0; i < n; i++) s += a[i];
  return s;
}
