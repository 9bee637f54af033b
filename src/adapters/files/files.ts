/** The `Files` port on the local disk. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { createGunzip, createGzip } from "node:zlib";
import type { CandidateSetProblem } from "../../domain/dataset.ts";
import { FunprmError } from "../../domain/errors.ts";
import type { Files, WrittenFile } from "../../ports.ts";
import { bigCodeBenchSchema, liveCodeBenchSchema } from "../../wire/benchmark-results.ts";
import { candidateSetRowSchema } from "../../wire/candidate-set.ts";
import { replayRow } from "../../wire/replay.ts";
import { runFileSchema } from "../../wire/run-file.ts";
import { trainingRowSchema } from "../../wire/training-row.ts";
import { fromBigCodeBench, fromLiveCodeBench } from "./benchmark-results.ts";

/** What of a `wire` schema is used here: this folder's one outside thing is the disk. */
type RowSchema<T> = {
  safeParse(
    value: unknown,
  ): { success: true; data: T } | { success: false; error: { issues: { path: PropertyKey[]; message: string }[] } };
};

export function createFiles(): Files {
  return {
    text: readText,
    candidateSet: (path) =>
      /\.json(\.gz)?$/.test(path) ? benchmarkResults(path) : checkedRows(path, candidateSetRowSchema),
    trainingRows: (path) => checkedRows(path, trainingRowSchema),
    runFile: async (path) => checked(path, parsedJson(path, await readText(path)), runFileSchema),
    answers: (path) => checkedRows(path, replayRow),
    writeRows,
    writeText: async (path, text) => writeAtomically(path, [Buffer.from(text)], 0),
    folders,
    remove: (path) => rm(path, { recursive: true, force: true }),
  };
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw unreadable(path, error);
  }
}

async function folders(path: string): Promise<string[]> {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name)
      .sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw unreadable(path, error);
  }
}

/** Rows of JSONL, gzip by name, checked one by one. Empty lines are skipped. */
async function* checkedRows<T>(path: string, schema: RowSchema<T>): AsyncGenerator<T> {
  let number = 0;
  for await (const line of lines(path)) {
    number += 1;
    if (line.trim() === "") continue;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      throw new FunprmError("BAD_INPUT", `${path}:${number}: not JSON; every line holds one object`);
    }
    yield checked(`${path}:${number}`, value, schema);
  }
}

function parsedJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new FunprmError("BAD_INPUT", `${path}: not JSON; give the run.json of a run`);
  }
}

function checked<T>(place: string, value: unknown, schema: RowSchema<T>): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const field = issue.path.length === 0 ? "the row" : issue.path.map(String).join(".");
  throw new FunprmError("BAD_INPUT", `${place}: ${field}: ${issue.message}`);
}

/** One JSON value in the whole file: what LiveCodeBench's runner (a list) or BigCodeBench's (`eval`) wrote. */
async function* benchmarkResults(path: string): AsyncGenerator<CandidateSetProblem> {
  const text: string[] = [];
  for await (const line of lines(path)) text.push(line);
  let value: unknown;
  try {
    value = JSON.parse(text.join("\n"));
  } catch {
    throw new FunprmError("BAD_INPUT", `${path}: not JSON; candidate sets with one object a line are named .jsonl`);
  }
  if (Array.isArray(value)) yield* fromLiveCodeBench(path, checked(path, value, liveCodeBenchSchema));
  else if (typeof value === "object" && value !== null && "eval" in value)
    yield* fromBigCodeBench(path, checked(path, value, bigCodeBenchSchema));
  else
    throw new FunprmError(
      "BAD_INPUT",
      `${path}: neither LiveCodeBench's *_eval_all.json nor BigCodeBench's *_eval_results.json; candidate sets are .jsonl`,
    );
}

/** Splits at `\n` only: a line separator U+2028 inside a JSON string is text, which `node:readline` would cut. */
async function* lines(path: string): AsyncGenerator<string> {
  const file = createReadStream(path);
  const gunzip = path.endsWith(".gz") ? createGunzip() : null;
  if (gunzip !== null) {
    file.on("error", (error) => gunzip.destroy(error));
    file.pipe(gunzip);
  }
  const stream: Readable = gunzip ?? file;
  stream.setEncoding("utf8");
  let rest = "";
  try {
    for await (const chunk of stream as AsyncIterable<string>) {
      const parts = (rest + chunk).split("\n");
      rest = parts.pop()!;
      yield* parts;
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "";
    if (code.startsWith("Z_"))
      throw new FunprmError("BAD_INPUT", `${path}: not a complete gzip file; fetch or write it again`, {
        cause: error,
      });
    throw unreadable(path, error);
  } finally {
    file.destroy();
  }
  if (rest !== "") yield rest;
}

async function writeRows(path: string, rows: AsyncIterable<unknown> | Iterable<unknown>): Promise<WrittenFile> {
  let count = 0;
  async function* text() {
    for await (const row of rows) {
      count += 1;
      yield Buffer.from(`${JSON.stringify(row)}\n`);
    }
  }
  const written = await writeAtomically(path, path.endsWith(".gz") ? gzipped(text()) : text(), 0);
  return { ...written, rows: count };
}

async function* gzipped(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const gzip = createGzip({ level: 6 });
  const feeding = (async () => {
    for await (const chunk of chunks) if (!gzip.write(chunk)) await once(gzip, "drain");
    gzip.end();
  })();
  feeding.catch((error) => gzip.destroy(error));
  yield* gzip as AsyncIterable<Buffer>;
  await feeding;
}

/** Complete or absent: written beside its place, flushed, then renamed over it. */
async function writeAtomically(
  path: string,
  chunks: AsyncIterable<Buffer> | Iterable<Buffer>,
  rows: number,
): Promise<WrittenFile> {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
  const hash = createHash("sha256");
  let bytes = 0;
  try {
    await mkdir(dirname(path), { recursive: true });
    const out = createWriteStream(temporary);
    const failed = once(out, "error").then(([error]) => Promise.reject(error));
    failed.catch(() => {});
    for await (const chunk of chunks) {
      hash.update(chunk);
      bytes += chunk.length;
      if (!out.write(chunk)) await Promise.race([once(out, "drain"), failed]);
    }
    out.end();
    await Promise.race([once(out, "close"), failed]);
    const handle = await open(temporary, "r");
    await handle.sync().finally(() => handle.close());
    await rename(temporary, path);
  } catch (error) {
    // The folder itself may be what cannot be used: then there is nothing to remove.
    await rm(temporary, { force: true }).catch(() => {});
    if (error instanceof FunprmError) throw error;
    throw new FunprmError(
      "FILE_UNREADABLE",
      `${path}: cannot be written (${(error as NodeJS.ErrnoException).code ?? (error as Error).message})`,
      { cause: error },
    );
  }
  return { path, sha256: hash.digest("hex"), bytes, rows };
}

function unreadable(path: string, error: unknown): FunprmError {
  const code = (error as NodeJS.ErrnoException).code;
  const why =
    code === "ENOENT"
      ? "no such file"
      : code === "EACCES"
        ? "permission denied"
        : code === "EISDIR"
          ? "is a folder"
          : String(code ?? error);
  return new FunprmError("FILE_UNREADABLE", `${path}: cannot be read (${why})`, { cause: error });
}
