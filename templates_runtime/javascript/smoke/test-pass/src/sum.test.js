import { describe, expect, it } from "vitest";
import { sum } from "./sum";

describe("sum", () => {
  it("adds", () => {
    expect(sum(2, 3)).toBe(5);
  });

  it("takes a sign", async () => {
    expect(sum(2, 3, -1)).toBe(-5);
  });
});
