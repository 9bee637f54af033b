/** `Artifacts` on yauzl: what is in a zip that somebody's CI wrote. Nothing is unpacked to disk, and no name in it is a path. */
import type { Readable } from "node:stream";
import yauzl, { type Entry, type ZipFile } from "yauzl";
import { FunprmError } from "../../domain/errors.ts";
import { type ArtifactKind, emptyReport, type FunctionAtLine, type TestReport } from "../../domain/test-report.ts";
import type { Artifacts } from "../../ports.ts";
import { readCobertura, readCoverageJson, readLcov } from "./coverage.ts";
import { readJunit } from "./junit.ts";

/** Of one file, of all together, and how many: what a repository of 20,000 tests needs, times two. */
const MOST_FILE_BYTES = 32 * 1024 * 1024;
const MOST_BYTES = 64 * 1024 * 1024;
const MOST_ENTRIES = 1_000;
/** For one artifact. The largest that is let in takes about 2 s on one slow core. */
const TIMEOUT_MS = 30_000;

type Reader = (chunks: AsyncIterable<string>, report: TestReport, functionAt: FunctionAtLine) => Promise<void>;

/** By the end of a name; a zip within the zip, and whatever else lies in it, is not looked at. */
const READERS: Record<ArtifactKind, readonly (readonly [RegExp, Reader])[]> = {
  junit: [[/\.xml$/, readJunit]],
  coverage: [
    [/\.xml$/, readCobertura],
    [/(\.info|\.lcov)$/, readLcov],
    [/\.json$/, readCoverageJson],
  ],
};

export const artifacts: Artifacts = {
  read: async (zip, kind, functionAt, signal) => {
    const ending = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
    try {
      return await readZip(zip, kind, functionAt, ending);
    } catch (error) {
      signal.throwIfAborted();
      const why = (error instanceof Error ? error.message : String(error)).split("\n")[0]!.slice(0, 200);
      throw new FunprmError("BAD_INPUT", `the ${kind} artifact cannot be read: ${why}`, { cause: error });
    }
  },
};

async function readZip(
  zip: Uint8Array,
  kind: ArtifactKind,
  functionAt: FunctionAtLine,
  signal: AbortSignal,
): Promise<TestReport> {
  const report = emptyReport();
  // yauzl refuses names that climb or are absolute, and an entry that holds more or less than it claims.
  const file = await yauzl.fromBufferPromise(Buffer.from(zip.buffer, zip.byteOffset, zip.byteLength), {
    lazyEntries: true,
  });
  const wanted: { entry: Entry; reader: Reader }[] = [];
  let entries = 0;
  let bytes = 0;
  for await (const entry of file.eachEntry()) {
    entries += 1;
    if (entries > MOST_ENTRIES) throw new Error(`more than ${MOST_ENTRIES} files`);
    const name = entry.fileName.toLowerCase();
    const reader = READERS[kind].find(([ending]) => ending.test(name))?.[1];
    if (reader === undefined) continue;
    bytes += entry.uncompressedSize;
    if (entry.uncompressedSize > MOST_FILE_BYTES || bytes > MOST_BYTES)
      throw new Error(`${entry.uncompressedSize} bytes in one file, or too many in all`);
    wanted.push({ entry, reader });
  }
  if (wanted.length === 0) throw new Error("it holds no file of that kind");
  for (const { entry, reader } of wanted) await reader(textOf(file, entry, signal), report, functionAt);
  return report;
}

/** Whatever a file declares, it is UTF-8 or it is refused. */
async function* textOf(file: ZipFile, entry: Entry, signal: AbortSignal): AsyncIterable<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const stream: Readable = await file.openReadStreamPromise(entry);
  try {
    for await (const chunk of stream) {
      signal.throwIfAborted();
      yield decoder.decode(chunk as Buffer, { stream: true });
    }
  } finally {
    stream.destroy();
  }
  yield decoder.decode();
}
