/** What reads artifacts of CI: reports in every form that tools write, and nothing of what is made to hurt. */
import { describe, expect, it } from "vitest";
import { artifacts } from "../../src/adapters/artifacts/read-artifact.ts";
import type { ArtifactKind, FunctionAtLine } from "../../src/domain/test-report.ts";
import { junitOf, type ZipEntry, zipOf } from "../fakes/zip.ts";

const signal = new AbortController().signal;
/** Lines 2 to 9 of `a.py` are f's, further ones g's. */
const functionAt: FunctionAtLine = (path, line) =>
  /^(\/w\/src\/)?a\.py$/.test(path) && line >= 2 ? (line < 10 ? "a.py#f" : "a.py#g") : null;
const read = (zip: Uint8Array, kind: ArtifactKind = "junit") => artifacts.read(zip, kind, functionAt, signal);
const of = (name: string, text: string | Uint8Array, more: Partial<ZipEntry> = {}) => zipOf([{ name, text, ...more }]);
const coverage = async (name: string, text: string) => {
  const { ran, ranBy } = await read(of(name, text), "coverage");
  return { ran: [...ran].sort(), ranBy: Object.fromEntries([...ranBy].map(([id, tests]) => [id, [...tests].sort()])) };
};
const MB = 1024 * 1024;

describe("JUnit XML", () => {
  it("names tests as pytest does, with how each ended and the functions of its traceback, last frames first to stay", async () => {
    const xml = junitOf([
      { name: "test_ok" },
      { name: "test_no", fails: "def f():\n>   return x\nE   NameError\n\na.py:3: NameError\nb.py:4: Later" },
      { name: "test_py", fails: 'Traceback:\n  File "/w/src/a.py", line 12, in g\n    1/0\nZeroDivisionError' },
      { name: "test_skip", also: "<skipped/>" },
      { name: "test_setup", also: '<error message="x">a.py:2: E</error>' },
      { name: "test_down", fails: "a.py:3: E", also: "<error>a.py:11: E</error>" },
    ]);
    const { tests } = await read(of("junit/results.XML", xml));
    expect(tests.map((one) => [one.id, one.outcome, one.traceback])).toEqual([
      ["tests.test_a.test_ok", "passed", []],
      ["tests.test_a.test_no", "failed", ["a.py#f"]],
      ["tests.test_a.test_py", "failed", ["a.py#g"]],
      ["tests.test_a.test_skip", "skipped", []],
      ["tests.test_a.test_setup", "error", ["a.py#f"]],
      ["tests.test_a.test_down", "failed", ["a.py#f", "a.py#g"]],
    ]);
  });

  it("a test that the runner tried again is flaky, whichever way it ended", async () => {
    const again = ["flakyFailure", "rerunFailure", "flakyError", "rerun"].map((tag) => ({
      name: tag,
      also: `<${tag}/>`,
    }));
    const { tests } = await read(
      of("a.xml", junitOf([...again, { name: "both", fails: "x", also: "<flakyFailure/>" }])),
    );
    expect(new Set(tests.map(({ outcome }) => outcome))).toEqual(new Set(["flaky"]));
  });

  it("a name that would turn or hide the text around it shows that it does", async () => {
    const { tests } = await read(of("a.xml", junitOf([{ name: "a\u202eb&#10;c\u200b" }])));
    expect(tests[0]!.id).toBe("tests.test_a.a?b?c?");
  });

  it("tests of several files and of suites within suites are one report", async () => {
    const inner = junitOf([{ name: "x" }]).replace(/<\/?testsuite\b[^>]*>/g, (tag) => `${tag}${tag}`);
    const zip = zipOf([
      { name: "1.xml", text: inner },
      { name: "deep/2.xml", text: junitOf([{ name: "y" }]) },
      { name: "log.txt", text: "<testcase name='no'/>" },
    ]);
    expect((await read(zip)).tests.map(({ id }) => id)).toEqual(["tests.test_a.x", "tests.test_a.y"]);
  });
});

describe("coverage", () => {
  const cobertura = (sources: string, filename: string, doctype = "") =>
    `<?xml version="1.0" ?>${doctype}<coverage>${sources}<packages><package><classes><class filename="${filename}"><methods/><lines><line number="1" hits="1"/><line number="3" hits="2"/><line number="11" hits="0"/></lines></class></classes></package></packages></coverage>`;

  it.each([
    ["a source folder", "<sources><source>/w/src</source></sources>", "a.py", ["a.py#f"]],
    [
      "several, one of which has the file",
      "<sources><source>/x</source><source>/w/src/</source></sources>",
      "a.py",
      ["a.py#f"],
    ],
    ["none", "", "a.py", ["a.py#f"]],
    ["one that says nothing", "<sources><source>.</source></sources>", "a.py", ["a.py#f"]],
    ["one that is elsewhere", "<sources><source>/usr/lib/python3</source></sources>", "a.py", []],
    ["an absolute name", "<sources><source>/x</source></sources>", "/w/src/a.py", ["a.py#f"]],
  ])("Cobertura with %s", async (_, sources, filename, ran) => {
    expect(await coverage("coverage.xml", cobertura(sources, filename))).toEqual({ ran, ranBy: {} });
  });

  it("Cobertura names its document type and may; one that declares entities may not", async () => {
    const named = `<!DOCTYPE coverage SYSTEM "http://cobertura.sourceforge.net/xml/coverage-04.dtd">`;
    expect((await coverage("c.xml", cobertura("", "a.py", named))).ran).toEqual(["a.py#f"]);
    const declares = `<!DOCTYPE coverage [<!ENTITY x SYSTEM "file:///etc/passwd">]>`;
    await expect(coverage("c.xml", cobertura("", "&x;", declares))).rejects.toThrow(/document type/);
  });

  it("lcov says which lines ran, not in which tests; Windows writes its lines too", async () => {
    const text =
      "TN:one\nSF:a.py\nFN:1,f\nDA:1,1\nDA:3,1,aGFzaA\nDA:11,0\nend_of_record\nSF:b.py\nDA:3,9\nend_of_record\n";
    expect(await coverage("lcov.info", text)).toEqual({ ran: ["a.py#f"], ranBy: {} });
    expect(await coverage("lcov.info", text.replaceAll("\n", "\r\n"))).toEqual({ ran: ["a.py#f"], ranBy: {} });
  });

  it("coverage.py's JSON says in which tests, by the names that JUnit has; what ran with the module is no test's", async () => {
    const contexts = {
      "3": ["tests/test_a.py::TestF::test_ok[1|2]|run", "tests.test_a.TestF.test_plain", ""],
      "12": [""],
    };
    const json = JSON.stringify({ files: { "a.py": { executed_lines: [1, 3, 12], contexts } } });
    expect(await coverage("coverage.json", json)).toEqual({
      ran: [],
      ranBy: { "a.py#f": ["tests.test_a.TestF.test_ok[1|2]", "tests.test_a.TestF.test_plain"] },
    });
    const none = JSON.stringify({ files: { "a.py": { executed_lines: [3] } } });
    expect(await coverage("coverage.json", none)).toEqual({ ran: ["a.py#f"], ranBy: {} });
  });
});

describe("an artifact that is made to hurt is refused whole, in one line, and costs no more than its limits", () => {
  const ok = junitOf([{ name: "x" }]);
  const utf16 = Buffer.from(`\ufeff${ok.replace("utf-8", "utf-16")}`, "utf16le");
  const many = (count: number, one: string) => `<testsuite>${one.repeat(count)}</testsuite>`;
  const laughs = `<!DOCTYPE x [<!ENTITY a "ha">${Array.from({ length: 20 }, (_, i) => `<!ENTITY a${i} "&a;&a;&a;">`).join("")}]>${ok.slice(38)}`;
  const nested = of("inner.xml", ok);
  it.each<[string, () => Uint8Array, RegExp, ArtifactKind?]>([
    ["no zip", () => Buffer.from("<html>not found</html>"), /[Ee]nd of central directory/],
    ["an empty file", () => Buffer.alloc(0), /[Ee]nd of central directory/],
    ["a zip that is cut", () => of("a.xml", ok).subarray(0, 120), /[Ee]nd of central directory/],
    ["a zip whose middle is missing", () => cutMiddle(of("a.xml", ok)), /./],
    ["one file of 33 MB", () => of("a.xml", Buffer.alloc(33 * MB)), /bytes in one file/],
    ["one that claims a gigabyte", () => of("a.xml", ok, { claims: 1024 * MB }), /1073741824 bytes/],
    [
      "one that claims less than it holds",
      () => of("a.xml", Buffer.alloc(20 * MB, " "), { claims: 10 }),
      /too many bytes/,
    ],
    ["one that claims more than it holds", () => of("a.xml", ok, { claims: 5000 }), /not enough bytes/],
    [
      "70 MB in three files",
      () => zipOf([1, 2, 3].map((n) => ({ name: `${n}.xml`, text: padded(24 * MB) }))),
      /too many in all/,
    ],
    ["a thousand names of one entry", () => overlapping(1_001), /more than 1000 files/],
    ["names of one entry that add up", () => overlapping(40, padded(4 * MB)), /too many in all/],
    ["a zip in the zip alone", () => zipOf([{ name: "inner.zip", text: nested }]), /no file of that kind/],
    [
      "a name that climbs",
      () =>
        zipOf([
          { name: "ok.xml", text: ok },
          { name: "../../etc/x.xml", text: ok },
        ]),
      /invalid relative path/,
    ],
    ["an absolute name", () => of("/etc/x.xml", ok), /absolute path/],
    ["a name of Windows that climbs", () => of("..\\x.xml", ok), /invalid/],
    ["a million tests", () => of("a.xml", many(1_000_000, "<testcase name='x'/>")), /more than 50000 tests/],
    ["deep nesting", () => of("a.xml", "<a>".repeat(500)), /nested deeper than 64/],
    ["entities that grow", () => of("a.xml", laughs), /document type/],
    ["an entity that nobody declared", () => of("a.xml", ok.replace("0.01", "&x;")), /entity/],
    ["a document type in JUnit", () => of("a.xml", `<!DOCTYPE x>${ok.slice(38)}`), /document type/],
    ["XML that ends early", () => of("a.xml", ok.slice(0, -20)), /unclosed/],
    ["UTF-16", () => of("a.xml", utf16), /encod/],
    ["Latin-1", () => of("a.xml", Buffer.from(ok.replace("pytest", "pytést"), "latin1")), /encod/],
    ["lcov without an end", () => of("a.info", "SF:a.py\nDA:3,1\n"), /no record/, "coverage"],
    ["one line of 8 MB in lcov", () => of("a.info", "x".repeat(8 * MB)), /a line of more/, "coverage"],
    ["JSON of brackets", () => of("a.json", "[".repeat(9 * MB)), /nested deeper than 16/, "coverage"],
    ["JSON of something else", () => of("a.json", '{"lockfileVersion":3}'), /no table of files/, "coverage"],
    ["XML of something else", () => of("a.xml", "<html>".repeat(2)), /unclosed/, "coverage"],
  ])("%s", async (_, zip, said, kind = "junit") => {
    const before = process.memoryUsage().rss;
    await expect(read(zip(), kind)).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(said),
    });
    expect(process.memoryUsage().rss - before).toBeLessThan(400 * MB);
  });

  it("ends when it is told to", async () => {
    const aborted = AbortSignal.abort(new Error("stop"));
    await expect(artifacts.read(of("a.xml", ok), "junit", functionAt, aborted)).rejects.toThrow("stop");
  });

  function padded(bytes: number): string {
    return ok.replace("<testsuites>", `<testsuites>${" ".repeat(bytes)}`);
  }
  function overlapping(count: number, text = ok): Buffer {
    return zipOf(
      Array.from({ length: count }, (_, n) => ({ name: `${n}.xml`, text, ...(n === 0 ? {} : { dataOf: 0 }) })),
    );
  }
  function cutMiddle(zip: Buffer): Buffer {
    return Buffer.concat([zip.subarray(0, 40), zip.subarray(90)]);
  }
});
