"""Test submissions whose outcome must be the same as with bare vitest."""

from textwrap import dedent

HEAD = (
    "import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } "
    'from "vitest";\n'
)


def one(body: str, **others: str) -> dict[str, str]:
    """Return one test file that imports vitest, and helpers by name (`util` → util.ts)."""
    files = {"a.test.ts": HEAD + dedent(body)}
    return files | {f"{name}.ts": dedent(text) for name, text in others.items()}


def several(**bodies: str) -> dict[str, str]:
    """Return several test files by name (`a` → a.test.ts)."""
    return {f"{name}.test.ts": HEAD + dedent(body) for name, body in bodies.items()}


SUBMISSIONS: dict[str, dict[str, str]] = {
    "passing": one('it("adds", () => { expect(1 + 1).toBe(2); });'),
    "failing": one('it("adds", () => { expect(1 + 1).toBe(3); });\nit("b", () => {});'),
    "nested": one(
        'describe("outer", () => { describe("inner", () => { it("title", () => {}); }); });'
    ),
    "skipped and todo": one('it.skip("s", () => {}); it.todo("t"); it("p", () => {});'),
    "only": one('it("left out", () => {}); it.only("runs", () => {});'),
    "skipped while running": one('it("s", (context) => { context.skip(); });'),
    "each, concurrent, retry, fails": one("""
        it.each([1, 2])("n %i", (n) => { expect(n).toBeGreaterThan(1); });
        it.concurrent("c1", async () => {});
        it.concurrent("c2", async () => {});
        let tries = 0;
        it("r", { retry: 2 }, () => { expect(++tries).toBe(2); });
        it.fails("f", () => { throw new Error("as it should"); });
    """),
    "a test that takes too long": one("""
        it("slow", { timeout: 30 }, async () => { await new Promise(() => {}); });
        it("next", () => {});
    """),
    "enum, namespace, parameter property, decorator": one("""
        enum Colour { Red = 3 }
        namespace Space { export const x = 1; }
        function twice(_: any, __: string, descriptor: PropertyDescriptor) {
          const original = descriptor.value;
          descriptor.value = function () { return 2 * original.call(this); };
        }
        class Point {
          constructor(private x = 5) {}
          @twice get() { return this.x; }
        }
        it("compiles", () => { expect(new Point().get() + Colour.Red + Space.x).toBe(14); });
    """),
    "imports without extension": one(
        'import { value } from "./util";\nit("imports", () => { expect(value).toBe(1); });',
        util="export const value: number = 1;",
    ),
    "mocks": one(
        """
        import { load } from "./util";
        vi.mock("./util", () => ({ load: () => 5 }));
        it("mocked", () => { expect(load()).toBe(5); });
        it("actual", async () => {
          const actual = await vi.importActual<{ load(): number }>("./util");
          expect(actual.load()).toBe(1);
        });
        """,
        util="export const load = () => 1;",
    ),
    "fake timers left on": one("""
        it("fakes", () => {
          const toFake = ["setTimeout", "setInterval", "setImmediate", "clearTimeout", "Date",
            "clearInterval", "clearImmediate", "performance", "queueMicrotask"] as const;
          vi.useFakeTimers({ toFake: [...toFake] });
          vi.setSystemTime(0);
        });
        it("stays", () => { expect(Date.now()).toBe(0); });
    """),
    "nextTick cannot be faked": one(
        'it("n", () => { vi.useFakeTimers({ toFake: ["nextTick"] }); });'
    ),
    "fs replaced and left so": one(
        """
        import fs from "node:fs";
        it("replaces", async () => {
          vi.spyOn(fs, "existsSync").mockReturnValue(false);
          vi.spyOn(fs, "readFileSync").mockReturnValue("nothing");
          vi.spyOn(fs, "statSync").mockImplementation(() => { throw new Error("no"); });
          vi.spyOn(fs.promises, "readFile").mockResolvedValue("nothing");
          expect((await import("./util")).value).toBe(1);
        });
        it("fails", () => { expect(1).toBe(2); });
        """,
        util="export const value = 1;",
    ),
    "globals replaced and left so": one("""
        it("replaces", () => {
          vi.stubGlobal("setTimeout", () => 0);
          vi.stubGlobal("setImmediate", () => 0);
          vi.stubGlobal("JSON", { stringify: () => "{}", parse: () => null });
          vi.spyOn(process, "cwd").mockReturnValue("/nowhere");
          vi.spyOn(console, "log").mockImplementation(() => {});
        });
        it("fails", () => { expect(1).toBe(2); });
    """),
    "process.exit": one(
        'it("a", () => {});\nit("exits", () => { process.exit(0); });\nit("b", () => {});'
    ),
    "process.exit later": one("""
        it("exits", async () => {
          setTimeout(() => process.exit(0), 1);
          await new Promise((resolve) => setTimeout(resolve, 50));
        });
    """),
    "unhandled rejection": one('it("passes", () => { Promise.reject(new Error("lost")); });'),
    "uncaught exception": one("""
        it("passes", async () => {
          setTimeout(() => { throw new Error("thrown"); }, 1);
          await new Promise((resolve) => setTimeout(resolve, 50));
        });
    """),
    "import of nothing": one('import "./nope";\nit("a", () => {});'),
    "syntax error": one('it("a", () => { const = 1; });'),
    "throws while loading": one('it("a", () => {});\nthrow new Error("top");'),
    "beforeAll throws": one("""
        describe("s", () => {
          beforeAll(() => { throw new Error("before"); });
          it("a", () => {});
        });
        it("b", () => {});
    """),
    "afterAll throws": one("""
        describe("s", () => { afterAll(() => { throw new Error("after"); }); it("a", () => {}); });
    """),
    "beforeEach throws": one('beforeEach(() => { throw new Error("each"); });\nit("a", () => {});'),
    "no test in the file": {"a.test.ts": "export {};"},
    "no test file": {"a.ts": "export {};"},
    "throws what is no error": one("""
        it("text", () => { throw "text"; });
        it("object", () => { throw { a: 1 }; });
        it("null", () => { throw null; });
    """),
    "snapshots": one("""
        it("new", () => { expect({ a: 1 }).toMatchSnapshot(); });
        it("inline", () => { expect(1).toMatchInlineSnapshot("2"); });
    """),
    "JavaScript in folders": {"x/y/a.spec.mjs": HEAD + 'it("js", () => {});'},
    "fails that passes": one("""
        it.fails("f", () => {});
        it.fails("g", async () => { throw 1; });
        it("h", { fails: true }, () => {});
    """),
    "repeats": one("""
        let n = 0;
        it("r", { repeats: 3 }, () => { if (++n === 3) throw new Error("third"); });
        it("all tries", { retry: 1 }, () => { throw 1; });
    """),
    "names twice": one("""
        it("a", () => {});
        it("a", () => { throw 1; });
        describe("d", () => { it("a", () => {}); });
        describe("d", () => { it("a", () => {}); });
    """),
    "odd names": one("""
        it("", () => {});
        it("a > b", () => {});
        it("x\\ny", () => {});
        it(class K {}, () => {});
        describe("", () => { it("in", () => {}); });
    """),
    "describe throws": one("""
        describe("d", () => { it("in", () => {}); throw new Error("describe"); });
        it("x", () => {});
    """),
    "describe rejects": one("""
        describe("d", async () => { await 1; it("in", () => {}); });
        describe("e", async () => { throw new Error("later"); });
    """),
    "a test in a test": one("""
        it("a", () => { it("b", () => {}); });
        it("c", () => { describe("x", () => {}); });
    """),
    "hooks that skip": one('beforeEach((context) => { context.skip(); });\nit("a", () => {});'),
    "hooks that take too long": one(
        'beforeAll(async () => { await new Promise(() => {}); }, 50);\nit("a", () => {});'
    ),
    "a teardown throws": one("""
        beforeAll(() => () => { throw new Error("teardown"); });
        it("a", () => {});
    """),
    "hooks of one test": one("""
        it("a", ({ onTestFinished }) => { onTestFinished(() => { throw new Error("f"); }); });
        it("b", ({ onTestFailed }) => { onTestFailed(() => {}); throw 1; });
    """),
    "soft and polled": one("""
        it("soft", () => { expect.soft(1).toBe(2); expect.soft(2).toBe(3); expect(1).toBe(1); });
        it("polled", async () => { let n = 0; await expect.poll(() => ++n).toBe(3); });
        it("in vain", async () => { await expect.poll(() => 1, { timeout: 50 }).toBe(2); });
        it("counted", () => { expect.assertions(2); expect(1).toBe(1); });
        it("required", () => { expect.hasAssertions(); });
    """),
    "fixtures": one("""
        const own = it.extend<any>({
          n: async ({}, use: any) => { await use(3); },
          bad: async ({}, _use: any) => { throw new Error("fixture"); },
        });
        own("n", ({ n }: any) => { expect(n).toBe(3); });
        own("bad", ({ bad }: any) => { expect(bad).toBe(1); });
    """),
    "throws odd values": one("""
        it("undefined", () => { throw undefined; });
        it("symbol", () => { throw Symbol("x"); });
        it("function", () => { throw () => {}; });
        it("proxy", () => { throw new Proxy({}, { get() { throw new Error("trap"); } }); });
        it("bigint", () => { throw 10n; });
        it("nothing", async () => { await Promise.reject(); });
        it("frozen", () => { throw Object.freeze(new Error("cold")); });
        it("without a prototype", () => { throw Object.create(null); });
    """),
    "a listener of rejections": one("""
        process.on("unhandledRejection", () => {});
        it("a", async () => {
          Promise.reject(new Error("lost"));
          await new Promise((resolve) => setTimeout(resolve, 20));
        });
    """),
    "an exit code": one('it("a", () => { process.exitCode = 3; });'),
    "an exit code of a failure": one('it("a", () => { process.exitCode = 0; throw 1; });'),
    "process.exit at the top": one('it("a", () => {});\nprocess.exit(0);'),
    "process.exit after all": one('afterAll(() => process.exit(0));\nit("a", () => {});'),
    "several files, isolated": several(
        a='(globalThis as any).leak = 1;\nit("a", () => { expect(1).toBe(2); });',
        b='it("b", () => { expect((globalThis as any).leak).toBeUndefined(); });',
        c='it.skip("c", () => {});',
    ),
    "several files, one does not load": several(a='import "./nope";', b='it("b", () => {});'),
    "several files, one dies": several(
        a='it("a", () => {});', b='it("b", () => { (process as any).reallyExit(3); });'
    ),
}
