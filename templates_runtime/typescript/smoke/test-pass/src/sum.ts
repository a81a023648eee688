export enum Sign {
  Minus = -1,
  Plus = 1,
}

export function sum(a: number, b: number, sign: Sign = Sign.Plus): number {
  return sign * (a + b);
}
