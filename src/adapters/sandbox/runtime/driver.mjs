/**
 * Runs one JavaScript candidate inside the sandbox: a fresh worker (call) or process (stdin) per test. argv: MODE, path of the
 * candidate, longest answer in bytes. Requests are JSON lines on stdin; answers are frames on a private copy of stdout.
 * The judge trusts nothing here: expected values never come into this process.
 */
import { spawnSync } from "node:child_process";
import { closeSync, fstatSync, ftruncateSync, openSync, readFileSync, readSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";
import vm from "node:vm";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

const DEEPEST = 300;
const STDOUT_LIMIT = 8 * 2 ** 20;

function encode(value, depth = 0) {
  if (depth > DEEPEST) throw new TypeError(`nested more than ${DEEPEST} deep`);
  if (value === null || value === undefined) return "null";
  switch (typeof value) {
    case "boolean":
      return value ? "true" : "false";
    case "string":
      return JSON.stringify(value);
    case "bigint":
      return `{"$int":"${value}"}`;
    case "number":
      if (Number.isNaN(value)) return '{"$float":"nan"}';
      if (!Number.isFinite(value)) return `{"$float":"${value > 0 ? "inf" : "-inf"}"}`;
      if (Number.isSafeInteger(value)) return String(value);
      return Number.isInteger(value) ? `{"$float":"${BigInt(value)}.0"}` : String(value);
    case "object":
      return encodeObject(value, depth + 1);
    default:
      throw new TypeError(typeof value);
  }
}

function encodeObject(value, depth) {
  const list = (items) => `[${items.map((item) => encode(item, depth)).join(",")}]`;
  if (Array.isArray(value)) return list(Array.from(value));
  const kind = Object.prototype.toString.call(value);
  if (kind === "[object Set]") return `{"$set":${list([...value])}}`;
  if (kind === "[object Map]") return `{"$dict":[${[...value].map(list).join(",")}]}`;
  // Values come from another realm: the prototype is told by what it lacks above it.
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null)
    throw new TypeError(value.constructor?.name ?? "object");
  return `{"$dict":[${Object.keys(value)
    .map((key) => list([key, value[key]]))
    .join(",")}]}`;
}

function decode(json) {
  if (Array.isArray(json)) return json.map(decode);
  if (json === null || typeof json !== "object") return json;
  const [key] = Object.keys(json);
  switch (key) {
    case "$tuple":
      return json.$tuple.map(decode);
    case "$set":
    case "$frozenset":
      return new Set(json[key].map(decode));
    case "$bytes":
      return new Uint8Array(Buffer.from(json.$bytes, "base64"));
    case "$float":
      return (
        { nan: Number.NaN, inf: Number.POSITIVE_INFINITY, "-inf": Number.NEGATIVE_INFINITY }[json.$float] ??
        Number(json.$float)
      );
    case "$int":
      return BigInt(json.$int);
    case "$dict":
      return json.$dict.every(([name]) => typeof name === "string")
        ? Object.fromEntries(json.$dict.map(([name, item]) => [name, decode(item)]))
        : new Map(json.$dict.map(([name, item]) => [decode(name), decode(item)]));
    default:
      return Object.fromEntries(Object.entries(json).map(([name, item]) => [name, decode(item)]));
  }
}

function raised(error) {
  const classes = [];
  for (let at = error; at && typeof at === "object"; at = Object.getPrototypeOf(at)) {
    const name = Object.hasOwn(at, "constructor") ? at.constructor?.name : undefined;
    if (typeof name === "string" && name !== "Object") classes.push(name);
  }
  let message = "";
  try {
    message = String(error?.message ?? error).slice(0, 500);
  } catch {
    // a getter that throws: the class is enough
  }
  return JSON.stringify({ classes: classes.length > 0 ? classes : ["Error"], message });
}

async function callInWorker() {
  const { path, entry, args, limit } = workerData;
  const answer = (kind, payload = "") => parentPort.postMessage({ kind, payload });
  try {
    const module = { exports: {} };
    globalThis.module = module;
    globalThis.exports = module.exports;
    vm.runInThisContext(readFileSync(path, "utf8"), { filename: path });
    const [first, ...rest] = entry;
    let target = /^[\w$]+$/.test(first)
      ? (module.exports[first] ?? vm.runInThisContext(`typeof ${first} === "undefined" ? undefined : ${first}`))
      : undefined;
    if (target === undefined && typeof module.exports === "function") target = module.exports;
    if (target === undefined) throw new ReferenceError(`the program does not define ${first}`);
    let owner;
    for (const part of rest) {
      if (part === "()") target = new target();
      else {
        owner = target;
        target = target[part];
      }
    }
    const value = await target.apply(owner, decode(args));
    let text;
    try {
      text = encode(value);
    } catch (error) {
      return answer("odd", String(error?.message).slice(0, 200));
    }
    return text.length > limit ? answer("long") : answer("value", text);
  } catch (error) {
    return answer("raised", raised(error));
  }
}

function frame(nonce, kind, payload = "") {
  const body = Buffer.from(payload);
  let data = Buffer.concat([Buffer.from(`${nonce} ${kind} ${body.length}\n`), body, Buffer.from("\n")]);
  while (data.length > 0) {
    try {
      data = data.subarray(writeSync(1, data));
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
}

const cpuMs = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

function inWorker(nonce, request, path, limit, memoryMb) {
  const before = cpuMs();
  return new Promise((resolve) => {
    const worker = new Worker(new URL(import.meta.url), {
      workerData: { path, entry: request.entry, args: request.args, limit },
      stdout: true,
      stderr: true,
      resourceLimits: { maxOldGenerationSizeMb: memoryMb },
    });
    worker.stdout.pipe(process.stderr, { end: false });
    worker.stderr.pipe(process.stderr, { end: false });
    let answered = false;
    const end = (kind, payload) => {
      if (answered) return;
      answered = true;
      if (kind !== null) frame(nonce, kind, payload);
      frame(
        nonce,
        "end",
        JSON.stringify({ status: 0, cpuMs: cpuMs() - before, rssKb: process.memoryUsage.rss() / 1024 }),
      );
      worker.terminate().then(resolve);
    };
    worker.once("message", ({ kind, payload }) => end(String(kind), String(payload)));
    worker.once("error", (error) => {
      const outOfMemory = error?.code === "ERR_WORKER_OUT_OF_MEMORY";
      end("raised", outOfMemory ? '{"classes":["MemoryError"],"message":"out of memory"}' : raised(error));
    });
    worker.once("exit", () => end(null, ""));
  });
}

function inProcess(nonce, request, path) {
  const input = openSync("input", "w+");
  const output = openSync("output", "w+");
  ftruncateSync(output, 0);
  writeSync(input, request.input, 0);
  const before = process.resourceUsage();
  const done = spawnSync(process.execPath, [...process.execArgv, path], { stdio: [openSync("input", "r"), output, 2] });
  const after = process.resourceUsage();
  const size = fstatSync(output).size;
  const body = Buffer.alloc(size > STDOUT_LIMIT ? 0 : size);
  readSync(output, body, 0, body.length, 0);
  closeSync(input);
  closeSync(output);
  if (size > STDOUT_LIMIT) frame(nonce, "long");
  else frame(nonce, "stdout", body);
  const spent = after.userCPUTime + after.systemCPUTime - before.userCPUTime - before.systemCPUTime;
  const signals = { SIGKILL: 9, SIGXCPU: 24, SIGSEGV: 11, SIGABRT: 6, SIGTERM: 15 };
  const status = done.signal ? -(signals[done.signal] ?? 9) : (done.status ?? 1);
  frame(nonce, "end", JSON.stringify({ status, cpuMs: spent / 1000, rssKb: 0 }));
}

async function serve() {
  const [mode, path, limit] = process.argv.slice(2);
  const memoryMb = Number(
    /=(\d+)$/.exec(process.execArgv.find((one) => one.startsWith("--max-old-space-size")) ?? "=512")[1],
  );
  frame("-", "hello", process.versions.node);
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    const { nonce, kind } = request;
    if (kind === "load") {
      try {
        if (mode === "call") new vm.Script(readFileSync(path, "utf8"), { filename: path });
      } catch (error) {
        frame(nonce, "load-error", raised(error));
      }
      frame(nonce, "end", '{"status":0,"cpuMs":0,"rssKb":0}');
    } else if (kind === "call") await inWorker(nonce, request, path, Number(limit), memoryMb);
    else inProcess(nonce, request, path);
  }
}

if (isMainThread) await serve();
else await callInWorker();
