"""Programs whose output, errors and exit status must be the same as with bare Node.

Each program is valid JavaScript and valid TypeScript. Its output must not depend on the time, the
machine or the folder.
"""

# Decision 0026: nothing of the runner shows, also in threads and child processes.
THREADS = (
    "const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads');\n"
)
CHILDREN = "const { exec, execFile, execFileSync, execSync, fork, spawn, spawnSync } = "
CHILDREN += "require('node:child_process');\n"
FS = "const fs = require('node:fs');\n"

# Programs that show the last frames of an error, or other traces of the code that starts them.
FRAMES: dict[str, str] = {
    "throws at the top": "throw new Error('boom');",
    "throws in a function": "function f() { throw new RangeError('deep'); }\nf();",
    "throws in many functions": "const f = (n) => { if (n === 0) throw new Error('x'); f(n - 1); };\nf(3);",
    "throws in a callback": "[1].forEach(() => { throw new Error('each'); });",
    "throws in a constructor": "class A { constructor() { throw new TypeError('new'); } }\nnew A();",
    "throws in a getter": "const o = { get a() { throw new Error('get'); } };\no.a;",
    "throws in a generator": "function* g() { throw new Error('gen'); }\n[...g()];",
    "throws in a helper": "require('./helper.cjs').fail();",
    "throws while a helper loads": "require('./broken.cjs');",
    "throws with a cause": "throw new Error('outer', { cause: new Error('inner') });",
    "throws several": "throw new AggregateError([new Error('a'), new Error('b')], 'both');",
    "throws null": "throw null;",
    "throws undefined": "throw undefined;",
    "throws a text": "throw 'text';",
    "throws a symbol": "throw Symbol('s');",
    "throws a function": "throw function named() {};",
    "throws with fields": "throw Object.assign(new Error('fields'), { code: 'E_X', list: [1] });",
    "throws its own class": "class Mine extends Error { name = 'Mine'; }\nthrow new Mine('own');",
    "throws without a stack": "const e = new Error('bare'); delete e.stack; e.stack = undefined; throw e;",
    "throws what was frozen": "throw Object.freeze(new Error('cold'));",
    "rejects at the top": "Promise.reject(new Error('lost'));",
    "rejects in an async function": "async function f() { throw new Error('async'); }\nf();",
    "rejects after waiting": "(async () => { await null; throw new Error('later'); })();",
    "rejects with nothing": "Promise.reject();",
    "rejects with an object": "Promise.reject({ a: 1 });",
    "throws in a timer": "setTimeout(() => { throw new Error('timer'); }, 1);",
    "throws in an immediate": "setImmediate(() => { throw new Error('immediate'); });",
    "throws in a tick": "process.nextTick(() => { throw new Error('tick'); });",
    "throws in a microtask": "queueMicrotask(() => { throw new Error('micro'); });",
    "throws in then": "Promise.resolve().then(() => { throw new Error('then'); });",
    "an error event": "new (require('node:events'))().emit('error', new Error('event'));",
    "an error event without an error": "new (require('node:events'))().emit('error', 'text');",
    "traces": "console.trace('here');",
    "traces in a function": "function f() { console.trace('in', { a: 1 }); }\nf();",
    "captures a stack": "const o = {}; Error.captureStackTrace(o); console.log(o.stack);",
    "captures a stack from a function": "function f() { const o = {}; Error.captureStackTrace(o, f);"
    " console.log(o.stack); }\nf();",
    "counts frames": "console.log(new Error().stack.split('\\n').length);",
    "counts all frames": "Error.stackTraceLimit = 100;\nconsole.log(new Error().stack);",
    "no frames": "Error.stackTraceLimit = 0;\nconsole.log(new Error('none').stack);",
    "one frame": "Error.stackTraceLimit = 1;\nthrow new Error('one');",
    "prepares stacks": "Error.prepareStackTrace = (e, sites) => sites.map((s) => s.getFunctionName());\n"
    "console.log(new Error().stack);",
    "prepares stacks of files": "Error.prepareStackTrace = (e, sites) => sites.map((s) => s.getFileName());\n"
    "console.log(new Error().stack);",
    "prepares the stack of an uncaught error": "Error.prepareStackTrace = () => 'mine';\nthrow new Error('x');",
    "who called": "function f() { return f.caller; }\nconsole.log((() => { try { return f(); } "
    "catch (e) { return e.name; } })());",
    "shows an error": "console.log(new Error('shown'));",
    "shows a nested error": "console.error({ e: new TypeError('in') });",
    "an assertion": "require('node:assert').strictEqual(1, 2);",
    "an assertion of objects": "require('node:assert').deepStrictEqual({ a: 1 }, { a: 2 });",
    "a handler shows the stack": "process.on('uncaughtException', (e) => console.log(e.stack));\nthrow new Error('h');",
    "a handler of rejections": "process.on('unhandledRejection', (e) => console.log(e.stack));\n"
    "Promise.reject(new Error('r'));",
    "a stack at the end": "process.on('exit', () => console.log(new Error('end').stack));",
    "a stack before the end": "process.once('beforeExit', () => console.log(new Error('before').stack));",
    "a stack at process.exit": "process.on('exit', () => console.log(new Error('end').stack));\nprocess.exit();",
    "a monitor": "process.on('uncaughtExceptionMonitor', (e, from) => console.log(from));\nthrow new Error('m');",
    "a capture callback": "process.setUncaughtExceptionCaptureCallback((e) => console.log(e.message));\n"
    "throw new Error('c');",
    "calls a function that is none": "const o = { a: 1 };\no.b();",
    "reads of undefined": "let u;\nu.field;",
    "an unknown name": "nowhere;",
    "too deep": "function f() { f(); }\ntry { f(); } catch (e) { console.log(e.name, e.message); }",
    "a package that is missing": "try { require('left-pad'); } catch (e) { console.log(e.code, e.message.split('\\n')[0]); }",
    "a file that is missing": "try { require('./nope'); } catch (e) { console.log(e.code, e.requireStack.length); }",
    "broken JSON": "try { require('./broken.json'); } catch (e) { console.log(e.name); }",
    "eval throws": "eval('throw new Error(`in eval`)');",
    "a new function throws": "new Function('throw new Error(`made`)')();",
    "a vm throws": "require('node:vm').runInThisContext('throw new Error(`vm`)', { filename: 'v.js' });",
    "a warning": "process.emitWarning('careful', { code: 'W1', detail: 'more' });",
    "a deprecation": "require('node:util').deprecate(() => {}, 'old', 'D1')();",
    "too many listeners": "const e = new (require('node:events'))();\n"
    "for (let i = 0; i < 11; i++) e.on('x', () => {});",
}

LOOKS: dict[str, str] = {
    "the main module": "console.log(require.main === module, module.id, module.loaded, module.children.length);",
    "the parent": "console.log(module.parent, 'parent' in module);",
    "process.mainModule": "console.log(process.mainModule === module, process.mainModule.filename);",
    "where it is": "console.log(__filename, __dirname, module.filename, module.path);",
    "module.paths": "console.log(JSON.stringify(module.paths.slice(0, 2)));",
    "the cache": "console.log(Object.keys(require.cache));",
    "the cache with a helper": "require('./helper.cjs');\nconsole.log(Object.keys(require.cache));",
    "Node's caches": "const M = require('node:module');\nconsole.log(Object.keys(M._cache), Object.keys(M._pathCache).length);",
    "runMain": "const M = require('node:module');\nconsole.log(Object.getOwnPropertyDescriptor(M, 'runMain'), M.runMain.name);",
    "arguments": "console.log(JSON.stringify(process.argv), process.argv0, process.execPath);",
    "options": "console.log(process.execArgv, process._preload_modules, process._eval);",
    "the title": "console.log(process.title);",
    "its own fields": "console.log(Object.getOwnPropertyNames(process).sort().join());",
    "global names": "console.log(Object.getOwnPropertyNames(globalThis).sort().join());",
    "global keys": "console.log(Object.keys(globalThis).join());",
    "events": "console.log(process.eventNames(), process.eventNames().map((n) => process.listenerCount(n)));",
    "exit listeners": "console.log(process.listeners('exit'), process.listeners('beforeExit'));",
    "error listeners": "for (const n of ['uncaughtException', 'unhandledRejection', 'uncaughtExceptionMonitor'])\n"
    "  console.log(process.listeners(n));",
    "emit": "const E = require('node:events');\nconsole.log(process.emit === E.prototype.emit, "
    "Object.hasOwn(process, 'emit'), process.emit.name);",
    "a replaced emit": "const { emit } = process;\nprocess.emit = function (name, ...rest) {"
    " if (name === 'exit') console.log('exit', rest); return emit.call(this, name, ...rest); };",
    "what is active": "console.log(process.getActiveResourcesInfo());",
    "active handles": "console.log(process._getActiveHandles().length, process._getActiveRequests().length);",
    "no channel to a parent": "console.log(process.send, process.connected, process.channel, process.disconnect);",
    "the folder": "console.log(process.cwd());",
    "an exit code before": "console.log(process.exitCode, process._exiting);",
    "the prototype of process": "console.log(Object.keys(Object.getPrototypeOf(process)));",
    "its own words": "console.log(Object.getOwnPropertyNames(module).sort().join(), typeof exports, this === exports);",
    "the wrapper": "console.log(require('node:module').wrapper.length, arguments.length);",
    "writes to descriptor 3": FS
    + 'try { fs.writeSync(3, \'{"type":"exit","code":0}\\n\'); console.log(\'wrote\'); }'
    " catch (e) { console.log(e.code); }\nsetTimeout(() => { console.log('after'); process.exitCode = 3; }, 20);",
    "writes junk to descriptor 3": FS
    + "try { fs.writeSync(3, 'x'); console.log('wrote'); } catch (e) {"
    " console.log(e.code); }",
    "a stream to a descriptor that is not open": FS
    + "fs.createWriteStream(null, { fd: 40 }).on('error', (e) =>"
    ' console.log(e.code)).end(\'{"type":"exit","code":0}\\n\');\nprocess.on(\'exit\', () => { process.exitCode = 5; });',
    "reads descriptor 3": FS
    + "try { fs.readSync(3, Buffer.alloc(4)); } catch (e) { console.log(e.code); }",
    "writes to high descriptors": FS
    + "for (const n of [64, 100, 200, 255, 900]) try { fs.writeSync(n, 'x'); }"
    " catch (e) { console.log(n, e.code); }",
    "a file's number": FS
    + "const n = fs.openSync(__filename);\nconsole.log(n > 2, fs.readSync(n, Buffer.alloc(5)));",
}

ENDS: dict[str, str] = {
    "nothing": "",
    "a comment": "// nothing",
    "exit 0": "process.exit(0);",
    "exit 1": "process.exit(1);",
    "exit 255": "process.exit(255);",
    "exit 256": "process.exit(256);",
    "exit with a text": "process.exit('3');",
    "exit code as a text": "process.exitCode = '4';",
    "exit code and exit": "process.exitCode = 9;\nprocess.exit();",
    "exit in a promise": "Promise.resolve().then(() => process.exit(12));",
    "exit in beforeExit": "process.on('beforeExit', () => process.exit(8));",
    "more work in beforeExit": "let n = 0;\nprocess.on('beforeExit', () => { if (n++ < 2) setTimeout(() => console.log(n), 1); });",
    "exit in an exit listener": "process.on('exit', () => process.exit(13));",
    "prints at the end": "process.on('exit', (code) => console.log('bye', code));",
    "prints a lot and ends": "process.stdout.write('y'.repeat(40_000));\nprocess.exit(0);",
    "prints a lot at the end": "process.on('exit', () => console.log('z'.repeat(30_000)));",
    "abandons a timer": "setTimeout(() => console.log('never'), 1e6).unref();",
    "abandons an interval": "setInterval(() => {}, 1e6).unref();\nconsole.log('end');",
    "ends while a child lives": CHILDREN
    + "spawn('sleep', ['30'], { stdio: 'ignore', detached: true }).unref();",
    "ends while a thread lives": THREADS
    + "new Worker('setInterval(() => {}, 1e6)', { eval: true }).unref();",
    "a finalization": "const o = {};\nprocess.finalization.register(o, () => console.log('final'));\nglobalThis.o = o;",
    "a finalization before exit": "const o = {};\nprocess.finalization.registerBeforeExit(o, (x, e) => console.log(e));"
    "\nglobalThis.o = o;",
    "a listener that was removed": "const f = () => console.log('no');\nprocess.on('exit', f);\nprocess.off('exit', f);",
    "reallyExit": "process.reallyExit(21);",
    "a signal to itself": "process.on('SIGUSR2', () => { console.log('got it'); clearInterval(t); });\n"
    "const t = setInterval(() => {}, 1e6);\nprocess.kill(process.pid, 'SIGUSR2');",
    "a write under way": FS
    + "const { pbkdf2 } = require('node:crypto');\nfor (let i = 0; i < 8; i++) pbkdf2('a', 'b', 100_000, 64, 'sha512', () => {});\n"
    "fs.write(1, 'late\\n', () => {});\nprocess.exit(0);",
    "writes under way": FS
    + "for (let i = 0; i < 40; i++) fs.writev(1, [Buffer.from('x')], () => {});\nprocess.exit();",
    "a file under way": FS
    + "fs.writeFileSync('/tmp/f', '');\nfs.open('/dev/stdout', 'w', (e, n) => { fs.write(n, 'opened', () => {}); process.exit(); });",
    "its own reallyExit": FS
    + "process.reallyExit = (code) => fs.writeSync(1, `really ${code}\\n`);\nprocess.exit(0);",
    "its own reallyExit that goes on": "const { reallyExit } = process;\nprocess.reallyExit = function (code) {"
    " console.log('ends', code); return reallyExit.call(this, 3); };\nprocess.exit(0);",
    "its own emit for all emitters": FS
    + "const { prototype } = require('node:events');\nconst { emit } = prototype;\n"
    "prototype.emit = function (name, ...rest) { if (name === 'exit') fs.writeSync(1, 'saw it\\n');"
    " return emit.call(this, name, ...rest); };",
    "its own prototype of process": "Object.setPrototypeOf(Object.getPrototypeOf(process), { emit(name) {"
    " require('node:fs').writeSync(1, `${name}\\n`); } });",
    "an emit that was deleted": "process.emit = 1;\nconsole.log(process.emit);\ndelete process.emit;\nconsole.log(typeof process.emit);",
    "a listener in a domain": "const d = require('node:domain').create();\n"
    "d.run(() => process.on('exit', (code) => console.log('in', code)));\nd.on('error', () => {});",
    "frozen at the end": "Object.freeze(process);\nObject.freeze(Object.getPrototypeOf(process));\nconsole.log('cold');",
    "names of the end replaced": FS
    + "fs.writeSync = fs.fstatSync = JSON.stringify = Buffer.from = Reflect.apply = Reflect.get = () => { throw 1; };\n"
    "process.stdout.write('ok');",
    "a stream on descriptor 1": FS
    + "const s = fs.createWriteStream(null, { fd: 1, autoClose: false });\n"
    "for (let i = 0; i < 100; i++) s.write('x'.repeat(5000));\ns.end('end');",
    "a socket on descriptor 1": "const s = new (require('node:net').Socket)({ fd: 1 });\ns.write('s'.repeat(300_000));\ns.end();",
    "corked output": "process.stdout.cork();\nprocess.stdout.write('corked');\nprocess.stdout.write('more');",
    "much of both outputs": "process.stderr.write('e'.repeat(400_000));\nprocess.stdout.write('o'.repeat(400_000));",
    "rejects at the end": "process.on('exit', () => { Promise.reject(new Error('no')); });",
    "rejects before the end": "process.once('beforeExit', () => Promise.reject(new Error('late')));",
    "a thread prints a lot": THREADS
    + "if (isMainThread) new Worker(__filename).on('exit', (c) => console.log('exit', c));\n"
    "else for (let i = 0; i < 2000; i++) console.log('line', i);",
    "another program instead": "process.execve('/bin/echo', ['echo', 'hi'], {});",
    "abort is caught by nobody": "try { null.x; } finally { console.log('finally'); }",
}

INPUT: dict[str, str] = {
    "stdin by data": "process.stdin.on('data', (d) => console.log(String(d))).on('end', () => console.log('end'));",
    "stdin by pieces": "process.stdin.setEncoding('utf8');\nprocess.stdin.on('readable', () => {"
    " let s; while ((s = process.stdin.read(3))) console.log(s); });",
    "stdin by its name": FS + "console.log(fs.readFileSync('/dev/stdin', 'utf8'));",
    "stdin as bytes": FS + "console.log(fs.readFileSync(0).length);",
    "stdin is not read": "console.log('no');",
    "stdin to stdout": "process.stdin.pipe(process.stdout);",
    "stdin by lines": "require('node:readline').createInterface({ input: process.stdin })"
    ".on('line', (l) => console.log('>', l)).on('close', () => console.log('closed'));",
    "a question": "const r = require('node:readline').createInterface({ input: process.stdin, output: process.stdout });\n"
    "r.question('? ', (a) => { console.log('!', a); r.close(); });",
    "stdin twice": FS
    + "console.log(fs.readFileSync(0, 'utf8').length, fs.readFileSync(0, 'utf8').length);",
    "stdin at once, after its stream": FS
    + "process.stdin;\nconsole.log(fs.readFileSync(0, 'utf8'));",
    "stdin at once, unless it is a terminal": FS
    + "console.log(process.stdin.isTTY ? 'tty' : fs.readFileSync('/dev/stdin', 'utf8'));",
    "stdin in parts, after its stream": FS
    + "process.stdin.setEncoding('utf8');\nconst b = Buffer.alloc(3);\n"
    "let n, s = '';\nwhile ((n = fs.readSync(0, b)) > 0) s += b.toString('latin1', 0, n);\nconsole.log(s);",
    "stdin in a child": CHILDREN
    + "console.log(spawnSync('cat', { stdio: [0, 'pipe', 2], encoding: 'utf8' }).stdout);",
    "stdin is no terminal": "console.log(process.stdin.isTTY, process.stdout.isTTY, process.stderr.isTTY);",
    "text of a stream": "require('node:stream/consumers').text(process.stdin).then((t) => console.log(t.length));",
}

LANGUAGE: dict[str, str] = {
    "console": "console.log('%s %d %i %j %o', 'a', 1.5, 1.5, { b: 1 }, [1]);\nconsole.info('i');\nconsole.warn('w');",
    "console tables": "console.table([{ a: 1, b: 2 }, { a: 3 }]);\nconsole.group('g');\nconsole.log('in');\nconsole.groupEnd();",
    "console counts": "console.count();\nconsole.count('x');\nconsole.countReset();\nconsole.count();\nconsole.assert(false, 'no');",
    "inspects": "console.log(new Map([[{ a: 1 }, new Set([1])]]), [,, 1], Symbol('s'), 10n, -0, [undefined, null]);",
    "inspects deep": "console.dir({ a: { b: { c: { d: 1 } } } }, { depth: null });",
    "inspects classes": "class A { #p = 1; x = 2; static s = 3; }\nconsole.log(new A(), A, class {}, function f() {});",
    "inspects circles": "const a = { };\na.self = a;\nconsole.log(a, [a]);",
    "big numbers": "console.log(2n ** 100n, Number.MAX_SAFE_INTEGER + 2, 0.1 + 0.2);",
    "generators": "function* g() { const x = yield 1; console.log(x); return 2; }\nconst i = g();\n"
    "console.log(i.next(), i.next('in'), i.next());",
    "async generators": "(async () => { for await (const x of (async function* () { yield 1; yield 2; })()) console.log(x); })();",
    "destructuring": "const { a = 1, ...rest } = { b: 2, c: 3 };\nconsole.log(a, rest, [...'ab'], Math.max(...[1, 5]));",
    "private members": "class A { #x = 1; static has(o) { return #x in o; } }\nconsole.log(A.has(new A()), A.has({}));",
    "proxies": "const p = new Proxy({}, { get: (t, k) => `got ${String(k)}` });\nconsole.log(p.anything);",
    "regular expressions": "console.log('2026-11-30'.match(/(?<y>\\d+)-(?<m>\\d+)/).groups.y, 'aBc'.replace(/b/i, '$&$&'));",
    "dates": "console.log(new Date(0).toISOString(), new Date(Date.UTC(2026, 10, 30)).toJSON());",
    "local dates": "console.log(new Date(0).toString(), new Date(0).getTimezoneOffset());",
    "Intl": "console.log(new Intl.NumberFormat('de-DE').format(1234.5), (5).toLocaleString(), "
    "Intl.DateTimeFormat().resolvedOptions().locale);",
    "sorting by locale": "console.log(['ä', 'a', 'z'].sort(), ['ä', 'a', 'z'].sort((a, b) => a.localeCompare(b)));",
    "order of tasks": "setTimeout(() => console.log('timer'));\nsetImmediate(() => console.log('immediate'));\n"
    "process.nextTick(() => console.log('tick'));\nPromise.resolve().then(() => console.log('then'));\nconsole.log('now');",
    "promises": "Promise.allSettled([1, Promise.reject(new Error('x'))]).then((r) => console.log(r.map((x) => x.status)));",
    "abort": "const c = new AbortController();\nc.signal.addEventListener('abort', () => console.log(c.signal.reason.name));\nc.abort();",
    "structured clones": "console.log(structuredClone({ d: new Date(0), m: new Map([[1, 2]]) }));",
    "buffers": "console.log(Buffer.from('héllo').toString('base64'), Buffer.concat([Buffer.alloc(2), Buffer.from([255])]));",
    "urls": "const u = new URL('http://x.test:81/p?q=1#h');\nconsole.log(u.port, u.searchParams.get('q'), URL.canParse('::'));",
    "hashes": "console.log(require('node:crypto').createHash('sha256').update('x').digest('hex'));",
    "zlib": "const z = require('node:zlib');\nconsole.log(z.gunzipSync(z.gzipSync('squeezed')).toString());",
    "streams": "require('node:stream').Readable.from(['a', 'b']).map((x) => x + x).toArray().then(console.log);",
    "pipelines": "const { pipeline } = require('node:stream/promises');\n"
    "pipeline(async function* () { yield 'out\\n'; }, process.stdout, { end: false }).then(() => console.log('done'));",
    "timers with promises": "require('node:timers/promises').setTimeout(2, 'slept').then(console.log);",
    "local storage of async calls": "const { AsyncLocalStorage } = require('node:async_hooks');\nconst s = new AsyncLocalStorage();\n"
    "s.run(7, () => setTimeout(() => console.log(s.getStore()), 1));",
    "util.format": "const u = require('node:util');\nconsole.log(u.format('%s', 5n), u.inspect('q'), u.types.isDate(new Date()));",
    "promisified": "const u = require('node:util');\nu.promisify(setTimeout)(1, 'ok').then(console.log);",
    "a vm": "const vm = require('node:vm');\nconsole.log(vm.runInNewContext('a + 1', { a: 2 }));",
    "files": FS
    + "fs.writeFileSync('x.txt', 'kept');\nconsole.log(fs.readFileSync('x.txt', 'utf8'), fs.existsSync('y.txt'));",
    "files that are missing": FS
    + "try { fs.readFileSync('nope.txt'); } catch (e) { console.log(e.code, e.syscall, e.path); }",
    "files with promises": "require('node:fs/promises').readFile(__filename, 'utf8').then((t) => console.log(t.length > 10));",
    "paths": "const p = require('node:path');\nconsole.log(p.resolve('a', '..', 'b'), p.extname('x.tar.gz'), p.relative('/a/b', '/a/c'));",
    "decoding": "console.log(new TextDecoder().decode(new Uint8Array([0xe2, 0x82, 0xac])), new TextEncoder().encode('é'));",
    "events": "const e = new (require('node:events'))();\ne.once('x', (...a) => console.log(a));\ne.emit('x', 1, 2);\nconsole.log(e.emit('x'));",
    "event targets": "const t = new EventTarget();\nt.addEventListener('x', (e) => console.log(e.type));\nt.dispatchEvent(new Event('x'));",
    "query strings": "console.log(require('node:querystring').parse('a=1&a=2&b=%20'), String(new URLSearchParams({ q: 'a b' })));",
    "weak references": "const o = {};\nconsole.log(new WeakRef(o).deref() === o, new WeakMap([[o, 1]]).get(o));",
    "labels": "outer: for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++) { if (j === 1) continue outer; console.log(i, j); }",
    "tagged templates": "const t = (s, ...v) => s.raw.join('|') + v;\nconsole.log(t`a\\n${1}b`);",
    "typed arrays": "console.log(new Uint8Array([1, 256, -1]), new Float64Array(2), new DataView(new ArrayBuffer(4)).getInt32(0));",
    "atomics": "const a = new Int32Array(new SharedArrayBuffer(4));\nconsole.log(Atomics.add(a, 0, 5), a[0]);",
    "wasm": "WebAssembly.compile(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])).then((m) => console.log(m));",
    "performance": "console.log(typeof performance.now(), performance.mark('a').name);",
    "parsing arguments": "console.log(require('node:util').parseArgs({ args: ['-f', '--b', 'x'], strict: false }).values);",
    "sloppy mode": "console.log((function () { return typeof this; })());",
    "strict mode": "'use strict';\nconsole.log((function () { return typeof this; })());",
}

MODULES: dict[str, str] = {
    "a module": "import { twice } from './helper.mjs';\nconsole.log(twice(4), typeof require, import.meta.main);",
    "where a module is": "console.log(import.meta.url, import.meta.filename, import.meta.dirname);\nexport {};",
    "a module's keys": "console.log(Object.keys(import.meta));\nexport {};",
    "this of a module": "console.log(this);\nexport {};",
    "a resolved name": "console.log(import.meta.resolve('./helper.mjs'), import.meta.resolve('node:fs'));\nexport {};",
    "a dynamic import": "import('./helper.mjs').then((m) => console.log(m.twice(1), Object.keys(m)));",
    "a dynamic import of CommonJS": "import('./helper.cjs').then((m) => console.log(Object.keys(m).sort(), m.default === m['module.exports']));",
    "a module by require": "console.log(require('./helper.mjs').twice(3));",
    "JSON by require": "console.log(require('./data.json').k);",
    "JSON by import": "import d from './data.json' with { type: 'json' };\nconsole.log(d.k);",
    "a data address": "import('data:text/javascript,export default 6').then((m) => console.log(m.default));",
    "a builtin": "import fs, { statSync } from 'node:fs';\nconsole.log(fs.statSync === statSync);",
    "a builtin without node:": "import path from 'path';\nconsole.log(path.sep);",
    "an unknown builtin": "import('node:nothing').catch((e) => console.log(e.code));",
    "a missing export": "import { nope } from './helper.mjs';\nconsole.log(nope);",
    "createRequire": "import { createRequire } from 'node:module';\nconsole.log(createRequire(import.meta.url)('./helper.cjs').name);",
    "require.resolve": "console.log(require.resolve('./helper.cjs'), require.resolve('fs'));",
    "a cycle": "console.log(require('./cycle.cjs'));",
    "exports by name": "exports.a = 1;\nmodule.exports.b = 2;\nconsole.log(module.exports);",
    "top-level await": "const x = await import('./helper.mjs');\nconsole.log(x.twice(await 2));",
    "an await that throws": "await Promise.reject(new Error('top'));\nexport {};",
    "an await that never ends": "console.log('waits');\nawait new Promise(() => {});",
    "two awaits": "await 1;\nconsole.log('one');\nawait 2;\nconsole.log('two');\nexport {};",
    "a package's import": "import { it } from '#inner';\nconsole.log(it);",
    "a package's own name": "import { it } from 'mine/inner';\nconsole.log(it);",
    "deleting from the cache": "require('./helper.cjs');\ndelete require.cache[require.resolve('./helper.cjs')];\n"
    "console.log(require('./helper.cjs').name);",
    "an extension of require": "require.extensions['.txt'] = (m, f) => { m.exports = 'text'; };\nconsole.log(require('./note.txt'));",
}

PROCESSES: dict[str, str] = {
    "a child prints": CHILDREN
    + "console.log(execFileSync(process.execPath, ['-p', '1 + 1'], { encoding: 'utf8' }));",
    "a child's options": CHILDREN
    + "console.log(execFileSync(process.execPath, ['-p', 'process.execArgv'], { encoding: 'utf8' }));",
    "a child's variables": CHILDREN
    + "console.log(execFileSync(process.execPath, ['-p', 'Object.keys(process.env).filter((n) => /NODE|STENCIL/.test(n))'], { encoding: 'utf8' }));",
    "a child's status": CHILDREN
    + "console.log(spawnSync(process.execPath, ['-e', 'process.exit(6)']).status);",
    "a child's error": CHILDREN
    + "console.log(spawnSync(process.execPath, ['-e', 'throw new Error(`c`)'], { encoding: 'utf8' }).stderr);",
    "a child that does not start": CHILDREN
    + "spawn('no-such-program').on('error', (e) => console.log(e.code, e.syscall, e.spawnargs));",
    "a child that does not start, at once": CHILDREN
    + "console.log(spawnSync('no-such-program').error.code);",
    "a child with wrong arguments": CHILDREN + "spawn(7);",
    "a shell": CHILDREN + "console.log(execSync('echo $((1 + 2))', { encoding: 'utf8' }));",
    "a shell that fails": CHILDREN
    + "try { execSync('exit 3', { stdio: 'pipe' }); } catch (e) { console.log(e.status, e.message); }",
    "a child by callback": CHILDREN
    + "execFile(process.execPath, ['-e', 'console.log(4)'], (e, out) => console.log(e, out));",
    "a shell by callback": CHILDREN + "exec('echo hi', (e, out) => console.log(e, out));",
    "a child's descriptors": CHILDREN
    + "const said = spawnSync('ls', ['/proc/self/fd'], { stdio: ['ignore', 'pipe', 'ignore'], encoding: 'utf8' });\n"
    "console.log(said.stdout.split('\\n').filter(Boolean).length);",
    "a fork talks": CHILDREN
    + "if (process.argv[2] === 'child') { process.on('message', (m) => { process.send(m + 1); process.disconnect(); }); }\n"
    "else { const c = fork(__filename, ['child']); c.on('message', (m) => console.log(m)); c.send(1); }",
    "a fork's options": CHILDREN
    + "if (process.argv[2] === 'child') console.log(process.execArgv, process.argv.length, typeof process.send);\n"
    "else fork(__filename, ['child']);",
    "a fork that fails": CHILDREN
    + "if (process.argv[2] === 'child') process.exit(5);\nelse fork(__filename, ['child']).on('exit', (c) => console.log(c));",
    "a thread": THREADS
    + "if (isMainThread) new Worker(__filename).on('exit', (c) => console.log('exit', c));\nelse console.log('inside');",
    "a thread's data": THREADS
    + "if (isMainThread) new Worker(__filename, { workerData: { n: 3 } });\nelse console.log(workerData);",
    "a thread answers": THREADS
    + "if (isMainThread) { const w = new Worker(__filename); w.on('message', (m) => { console.log(m); w.terminate(); }); w.postMessage(2); }\n"
    "else parentPort.on('message', (n) => parentPort.postMessage(n * 2));",
    "a thread's options": THREADS
    + "if (isMainThread) new Worker(__filename);\nelse console.log(process.execArgv, process.argv.length);",
    "a thread with options": THREADS
    + "if (isMainThread) new Worker(__filename, { execArgv: ['--no-warnings'], argv: ['x'] });\n"
    "else console.log(process.execArgv, process.argv.slice(2));",
    "a thread with an environment": THREADS
    + "if (isMainThread) new Worker(__filename, { env: { ONLY: '1' } });\nelse console.log(process.env);",
    "a thread's listeners": THREADS
    + "if (isMainThread) new Worker(__filename);\nelse console.log(process.eventNames(), process.listenerCount('exit'));",
    "a thread's cache": THREADS
    + "if (isMainThread) new Worker(__filename);\nelse console.log(Object.keys(require.cache));",
    "a thread's stack": THREADS
    + "if (isMainThread) new Worker(__filename).on('error', (e) => console.log(e.stack));\nelse throw new Error('in');",
    "a thread from a text": THREADS
    + "new Worker('console.log(1 + 1, process.execArgv)', { eval: true });",
    "a thread from an address": THREADS
    + "new Worker(new URL('data:text/javascript,console.log(typeof require)'));",
    "a thread from a file's address": THREADS + "const { pathToFileURL } = require('node:url');\n"
    "if (isMainThread) new Worker(pathToFileURL(__filename));\nelse console.log('by address');",
    "threads in threads": THREADS + "const n = isMainThread ? 0 : workerData;\nconsole.log(n);\n"
    "if (n < 2) new Worker(__filename, { workerData: n + 1 });",
    "a thread with a wrong name": THREADS
    + "try { new Worker('nope'); } catch (e) { console.log(e.stack); }",
    "a thread with wrong options": THREADS
    + "try { new Worker(__filename, { execArgv: ['--nope'] }); } catch (e) { console.log(e.stack); }",
    "a class of threads": THREADS + "class W extends Worker { n = 1; }\n"
    "if (isMainThread) { const w = new W(__filename); console.log(w.n, w instanceof Worker, w.constructor.name); }",
    "a thread ends all": THREADS
    + "if (isMainThread) new Worker(__filename).on('exit', (c) => { console.log(c); process.exit(2); });\nelse process.exit(4);",
    "messages between ports": "const { port1, port2 } = new MessageChannel();\nport2.on('message', (m) => { console.log(m); port2.close(); });\nport1.postMessage('hi');",
    "a cluster": "const cluster = require('node:cluster');\n"
    "if (cluster.isPrimary) cluster.fork().on('exit', (c) => console.log('exit', c));\n"
    "else { console.log('in', process.execArgv); process.exit(0); }",
}

HELPERS = {
    "helper.cjs": "exports.name = 'helper';\nexports.fail = () => { throw new Error('helper failed'); };\n",
    "helper.mjs": "export const twice = (n) => 2 * n;\n",
    "broken.cjs": "throw new Error('does not load');\n",
    "broken.json": "{",
    "data.json": '{"k": 1}\n',
    "cycle.cjs": "exports.first = 1;\nexports.other = require('./cycle2.cjs').seen;\n",
    "cycle2.cjs": "exports.seen = Object.keys(require('./cycle.cjs'));\n",
    "note.txt": "text\n",
}
# Used only by programs that need a package.json: without it, Node prints no advice on the type.
PACKAGE = {
    "package.json": '{"name": "mine", "imports": {"#inner": "./inner.cjs"}, "exports": {"./inner": "./inner.cjs"}}',
    "inner.cjs": "exports.it = 'inner';\n",
}

PROGRAMS: dict[str, str] = FRAMES | LOOKS | ENDS | INPUT | LANGUAGE | MODULES | PROCESSES
OF_A_PACKAGE = {"a package's import", "a package's own name"}
