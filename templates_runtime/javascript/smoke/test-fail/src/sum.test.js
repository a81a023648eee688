import { describe, expect, it } from "vitest";
import { sum } from "./sum";

describe("sum", () => {
  it("adds", () => {
    expect(sum(1, 2)).toBe(3);
  });

  it("keeps cents", () => {
    console.log("rounding is hard:", sum(0.1, 0.2));
    expect(sum(0.1, 0.2)).toBe(0.3);
  });

  it.skip("adds words", () => {});
});
