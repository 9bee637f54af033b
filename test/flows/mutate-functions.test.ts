/** Functions of packages become versions with known truth: the split is by file, the same request gives the same set. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { createFiles } from "../../src/adapters/files/files.ts";
import { createSyntax } from "../../src/adapters/tree-sitter/create-syntax.ts";
import { buildDataset } from "../../src/flows/build-dataset.ts";
import { type MutateFunctionsRequest, mutateFunctions } from "../../src/flows/mutate-functions.ts";

const files = createFiles();
const syntax = await createSyntax();
const folder = mkdtempSync(join(tmpdir(), "funprm-functions-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const COUNT = `def count(items, least):
    """How many are at least that large."""
    total = 0
    for item in items:
        if item >= least:
            total += 1
    return total
`;
const SOURCE = `import os


${COUNT}

class Box:
    @property
    def size(self):
        width = self.width + 1
        return width

    def fits(self, other):
        # Calls another function of the file.
        room = count(self.items, 1)
        return room > other


def short():
    return 1
`;
const sources = [
  { package: "box", path: "box.py", text: SOURCE, licence: "MIT (box 1)" },
  { package: "box", path: "copy.py", text: COUNT, licence: null },
  { package: "box", path: "broken.py", text: "def f(:\n  return 1\n", licence: null },
];
const request = { files: sources, functions: 10, bugs: 1, edits: 2, seed: 1 };

it("versions of each function, right and wrong ones, each function once", async () => {
  const made = await mutateFunctions({ ...request, out: join(folder, "a.jsonl.gz") }, files, syntax);
  const again = await mutateFunctions({ ...request, out: join(folder, "b.jsonl.gz") }, files, syntax);
  expect(again.file.sha256).toBe(made.file.sha256);
  const rows = await Array.fromAsync(files.candidateSet(made.file.path));
  expect(rows.map((row) => row.problem_id).sort()).toEqual([
    "box/box.py#Box.fits",
    "box/box.py#Box.size",
    "box/box.py#count",
  ]);
  expect(made).toMatchObject({ functions: 3, byPackage: { box: 3 }, mutants: 9, edits: 6 });
  for (const row of rows) {
    expect(row).toMatchObject({ group: "functions/box/box.py", license: "MIT (box 1)" });
    const [released, ...others] = row.candidates;
    expect(released).toMatchObject({ id: row.problem_id, passed: true, kind: "as released" });
    expect(new Set(others.map((one) => one.code)).size).toBe(others.length);
    for (const one of others) {
      expect(one.code).not.toBe(released!.code);
      expect(one.passed).toBe(!one.id.includes("~bug"));
      expect(one.id).toMatch(/~(?:bug|edit)\d$/);
    }
  }
  const fits = rows.find((row) => row.problem_id.endsWith("fits"))!;
  expect(fits.context).toEqual(["def count(items, least)"]);
});

it("makes rows like those that a review scores: one function after the statement and its neighbours", async () => {
  const out = join(folder, "c.jsonl.gz");
  await mutateFunctions({ ...request, out }, files, syntax);
  const silent = () => {};
  const log = { debug: silent, info: silent, warn: silent, error: silent };
  const data = join(folder, "data");
  mkdirSync(data);
  await buildDataset({ sets: [out], out: data, limit: null }, files, syntax, log);
  const rows = (
    await Promise.all(
      ["training", "meta", "validation"].map((split) =>
        Array.fromAsync(files.trainingRows(join(data, `${split}.jsonl.gz`))),
      ),
    )
  ).flat();
  // Each function with what its statement alone promises, so that an attribution means something.
  const empty = rows.filter((row) => row.completions[0] === "");
  expect(empty.map((row) => row.labels)).toEqual([[0.5], [0.5], [0.5]]);
  expect(rows).toHaveLength(18 + 3);
  for (const row of rows.filter((row) => !empty.includes(row))) {
    expect(row.completions).toHaveLength(1);
    expect(row.completions[0]).not.toContain("#");
    expect(row.labels).toEqual([row.id.includes("~bug") ? 0 : 1]);
    expect(row.source).toEqual(["unit_test"]);
    if (row.problem.endsWith("fits")) expect(row.prompt).toContain("Context:\n```\ndef count(items, least)\n```");
  }
  // Versions of one function are compared with each other, those of two functions are not.
  expect(new Set(rows.map((row) => row.pool))).toEqual(
    new Set(["mutation|count", "mutation|Box.fits", "mutation|Box.size"]),
  );
});

it("takes at most so many functions of a package, the same ones whatever the order of the files", async () => {
  const few = (some: MutateFunctionsRequest["files"]) =>
    mutateFunctions({ ...request, files: some, functions: 1, out: join(folder, "d.jsonl.gz") }, files, syntax);
  const first = await few(sources.slice(0, 1));
  expect(first.functions).toBe(1);
  expect((await few([sources[2]!, sources[0]!])).file.sha256).toBe(first.file.sha256);
  const others = { package: "box", path: "other.py", text: COUNT.replaceAll("count", "tally"), licence: null };
  const both = await few([sources[0]!, others]);
  expect((await few([others, sources[0]!])).file.sha256).toBe(both.file.sha256);
});

it("no mutant is a right version again, and a wording that takes no bug is left out", async () => {
  const text = [
    "def empty(path):\n    path.close()\n    path.open()\n    return None\n",
    "def first(x, y):\n    z = x\n    x.add(y)\n    return z\n",
    "def last(x, y):\n    x.add(y)\n    y.add(x)\n    return x\n",
  ].join("\n\n");
  for (let seed = 1; seed < 40; seed++) {
    const out = join(folder, "e.jsonl.gz");
    const one = [{ package: "p", path: "p.py", text, licence: null }];
    await mutateFunctions({ files: one, functions: 10, bugs: 2, edits: 3, seed, out }, files, syntax);
    for await (const row of files.candidateSet(out)) {
      const texts = (passed: boolean) =>
        row.candidates.filter((one) => one.passed === passed).map((one) => one.code.replaceAll(/[\s()]/g, ""));
      const right = texts(true);
      const wrong = texts(false);
      expect(wrong.filter((one) => right.includes(one))).toEqual([]);
      expect(wrong).toHaveLength(2 * right.length);
    }
  }
});
