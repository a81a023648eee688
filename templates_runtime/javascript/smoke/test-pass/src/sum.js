export function sum(a, b, sign = 1) {
  return sign * (a + b);
}
