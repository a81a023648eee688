import { describe, expect, it } from "vitest";
import { Sign, sum } from "./sum";

describe("sum", () => {
  it("adds", () => {
    expect(sum(2, 3)).toBe(5);
  });

  it("takes a sign", async () => {
    expect(sum(2, 3, Sign.Minus)).toBe(-5);
  });
});
