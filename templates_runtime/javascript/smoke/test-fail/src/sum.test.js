import { expect, it } from "vitest";

it("passes", () => {
  expect(1 + 1).toBe(2);
});

it("fails with a diff", () => {
  expect({ answer: 41 }).toEqual({ answer: 42 });
});

it.skip("is skipped", () => {});
