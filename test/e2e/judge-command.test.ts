/** `funprm judge` as a person starts it: the contract's JSON, exit codes, one line for what is wrong, resumable rows. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const main = join(import.meta.dirname, "../../src/main.ts");
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "funprm-judge-command-"));
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
  write("right.py", "def f(x):\n    return (x, x + 1)\n");
  write("wrong.py", "def f(x):\n    return [x, x + 1]\n");
  write("right.js", "const f = (x) => x + 0.5;\n");
  write("p.json", '{"io":"call","entry_point":"f","cases":[{"args":[1],"expected":{"$tuple":[1,2]}}]}');
  write("js.json", '{"io":"call","entry_point":"f","cases":[{"args":[1.5],"expected":2.0}]}');
  write("bad.json", '{"io":"call","entry_point":"f","cases":[{"args":[1]}]}');
  const row = (id: number, tests: unknown) => ({
    set: "s",
    problem_id: `p${id}`,
    group: `g${id}`,
    prompt: "",
    io: "call",
    entry_point: null,
    tests,
    candidates: [
      { id: "a", model: "m", code: "def f(x): return x", passed: true },
      { id: "b", model: "m", code: "def f(x): return -x", passed: false },
    ],
  });
  const rows = [row(1, ["", "assert f(1) == 1"]), row(2, null), row(3, "assert f(2) == 2\nassert f(f(1)) == 1\n")];
  write("rows.jsonl", rows.map((one) => `${JSON.stringify(one)}\n`).join(""));
});
afterAll(() => rmSync(folder, { recursive: true }));

function funprm(...args: string[]) {
  const done = spawnSync(process.execPath, [main, "judge", ...args], {
    encoding: "utf8",
    env: { ...process.env, INIT_CWD: folder, NODE_NO_WARNINGS: "1" },
  });
  return { code: done.status, out: done.stdout, err: done.stderr };
}

describe("funprm judge", () => {
  it("prints the contract's JSON and exits 0 whatever the verdicts", () => {
    const { code, out } = funprm("--problem", "p.json", "--json", "right.py", "wrong.py");
    expect(code).toBe(0);
    const result = JSON.parse(out);
    expect(result.sandbox).toMatchObject({ tier: expect.any(Number), probes: expect.any(Array) });
    expect(result.verdicts).toMatchObject([
      { path: "right.py", verdict: "PASS", cases: [{ verdict: "PASS" }], attested: "out-of-process" },
      { path: "wrong.py", verdict: "WRONG", cases: [{ verdict: "WRONG" }], attested: "out-of-process" },
    ]);
    for (const verdict of result.verdicts) {
      for (const field of ["cpuMs", "wallMs", "peakMemoryMb"]) expect(verdict[field]).toEqual(expect.any(Number));
      for (const field of ["cpuMs", "wallMs"]) expect(verdict.cases[0][field]).toEqual(expect.any(Number));
    }
    expect(JSON.parse(funprm("--problem", "js.json", "--json", "right.js").out).verdicts[0].verdict).toBe("PASS");
  });

  it.each([
    [["--problem", "bad.json", "right.py"], /^funprm: bad\.json: cases\[0\]\.expected: is missing\n$/],
    [["--problem", "none.json", "right.py"], /^funprm: none\.json: no such file\n$/],
    [["--problem", "p.json", "right.py", "none.py"], /^funprm: none\.py: no such file\n$/],
    [["--problem", "p.json"], /^funprm: no candidate named[^\n]*\n$/],
    [["right.py"], /^funprm: --problem [^\n]*\n$/],
    [["--problem", "p.json", "--cpu-seconds", "0", "right.py"], /^funprm: [^\n]*above 0[^\n]*\n$/],
    [["--rows", "rows.jsonl"], /^funprm: --rows needs --out[^\n]*\n$/],
  ])("%j exits 2 with one line", (args, line) => {
    const { code, out, err } = funprm(...args);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toMatch(line);
  });

  it("judges a candidate set into shards, and takes them over at a second start", () => {
    const first = JSON.parse(funprm("--rows", "rows.jsonl", "--out", "out", "--json").out);
    expect(first).toMatchObject({
      rows: 3,
      judgedRows: 2,
      converted: 0.5,
      candidates: 4,
      labelled: 4,
      agree: 4,
      executions: 4,
    });
    expect(readdirSync(join(folder, "out")).sort()).toEqual(["manifest.json", "verdicts-00000.jsonl"]);
    const shard = readFileSync(join(folder, "out/verdicts-00000.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(
      shard.map((row) => [row.form, row.converted, row.candidates.map((one: { verdict: string }) => one.verdict)]),
    ).toEqual([
      ["call", true, ["PASS", "WRONG"]],
      [null, false, []],
      ["tests", false, ["PASS", "WRONG"]],
    ]);
    const again = JSON.parse(funprm("--rows", "rows.jsonl", "--out", "out", "--json").out);
    expect(again).toEqual({ ...first, executions: 0 });
  });
});
