import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const TINY = join(ROOT, "test/fixtures/models/tiny");
let repo: string;
const git = (...args: string[]) =>
  execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@example.org", ...args], {
    cwd: repo,
    encoding: "utf8",
  });

beforeAll(() => {
  repo = mkdtempSync(join(tmpdir(), "funprm-review-"));
  git("init", "--quiet", "--initial-branch=main");
  writeFileSync(join(repo, "a.py"), "def kept(x):\n    return x\n\n\ndef total(xs):\n    return sum(xs)\n");
  writeFileSync(join(repo, "old name.py"), "def moved():\n    return 1\n\n\ndef stays():\n    return 2\n");
  git("add", ".");
  git("commit", "--quiet", "-m", "base");
  git("checkout", "--quiet", "-b", "change");
  writeFileSync(join(repo, "a.py"), "def kept(x):\n    return x\n\n\ndef total(xs):\n    return sum(xs) + 1\n");
  git("mv", "old name.py", "new name.py");
  symlinkSync("a.py", join(repo, "link.py"));
  writeFileSync(join(repo, "x.go"), "package x\n");
  git("add", ".");
  git("commit", "--quiet", "-m", "Count one more");
  git("checkout", "--quiet", "main");
  writeFileSync(join(repo, "later.py"), "def later():\n    pass\n");
  git("add", ".");
  git("commit", "--quiet", "-m", "main went on");
});
afterAll(() => rmSync(repo, { recursive: true, force: true }));

function review(...args: string[]) {
  return spawnSync(process.execPath, [join(ROOT, "src/main.ts"), "review", "--repo", repo, "--model", TINY, ...args], {
    encoding: "utf8",
  });
}

describe("funprm review", () => {
  test("JSON of the contract: against the merge base, what did not change is not named", () => {
    const { status, stdout } = review("--base", "main", "--head", "change", "--json");
    expect(status).toBe(0);
    const report = JSON.parse(stdout);
    expect(report.functions).toHaveLength(1);
    expect(report.functions[0]).toMatchObject({
      path: "a.py",
      name: "total",
      startLine: 5,
      endLine: 6,
      change: "modified",
      rank: 1,
      estimate: null,
      calibration: "uncalibrated",
    });
    expect(report.functions[0].reward).toBeGreaterThan(0);
    expect(report.coverage).toEqual({
      scored: 1,
      inScope: 3,
      notScored: [
        { path: "link.py", name: "<file>", reason: "symbolic link or submodule" },
        { path: "x.go", name: "<file>", reason: "unsupported language" },
      ],
    });
    expect(Object.keys(report.model)).toEqual(["name", "version", "sha256", "renderVersion"]);
  });

  test("the model of reviews scores, unless base's settings or a word name another", () => {
    git("checkout", "--quiet", "-b", "named", "main");
    mkdirSync(join(repo, ".github"), { recursive: true });
    writeFileSync(join(repo, ".github/funprm.yml"), "prm: { model: funprm-mini }\n");
    writeFileSync(join(repo, "b.py"), "def b(x):\n    return x\n");
    git("add", ".");
    git("commit", "--quiet", "-m", "named");
    writeFileSync(join(repo, "b.py"), "def b(x):\n    return -x\n");
    git("commit", "--quiet", "-am", "changed b");
    git("checkout", "--quiet", "main");
    const scorer = (base: string, head: string, ...more: string[]) => {
      const { stdout } = spawnSync(
        process.execPath,
        [join(ROOT, "src/main.ts"), "review", "--repo", repo, "--base", base, "--head", head, "--json", ...more],
        { encoding: "utf8" },
      );
      return JSON.parse(stdout).model.name;
    };
    expect(scorer("main", "change")).toBe("funprm-mini-review");
    expect(scorer("named~1", "named")).toBe("funprm-mini");
    expect(scorer("named~1", "named", "--model", TINY)).not.toMatch(/^funprm-mini/);
  });

  test("a table for people; SARIF for programs", () => {
    expect(review("--base", "main", "--head", "change").stdout).toMatch(
      /a\.py: total[\s\S]*scored 1\/3; .*\nnot scored: link\.py[\s\S]*uncalibrated/,
    );
    expect(JSON.parse(review("--base", "main", "--head", "change", "--sarif").stdout)).toMatchObject({
      version: "2.1.0",
    });
  });

  test("names obey no terminal and end no line; what came from another language is new, and hidden text is said", () => {
    git("checkout", "--quiet", "-b", "odd", "main");
    writeFileSync(join(repo, "tool"), "def runs(x):\n    return x\n");
    git("add", ".");
    git("commit", "--quiet", "-m", "a tool");
    git("mv", "tool", "tool.py");
    writeFileSync(join(repo, "red\u001b[31m\n```\n# All scored.go"), "package x\n");
    writeFileSync(join(repo, "bidi.py"), 'NAME = "\u202e"\n');
    git("add", ".");
    git("commit", "--quiet", "-m", "odd names");
    git("checkout", "--quiet", "main");
    const { stdout } = review("--base", "odd~1", "--head", "odd");
    expect(stdout).toContain(
      "not scored: red\\u{1b}[31m\\u{a}```\\u{a}# All scored.go: <file>: unsupported language\n",
    );
    expect(stdout).toMatch(/tool\.py: runs .* added/);
    expect(stdout).toContain("Hidden text: line 1 of bidi.py holds the invisible character U+202E.\n");
    expect(stdout.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });

  describe("with .github/funprm.yml", () => {
    const CONFIG = `review:
  ignore_paths: ["gen/**"]
  colour: red
paths:
  - match: "a.py"
    check: { fail_on: finding }
`;
    const commit = (branch: string, from: string, files: Record<string, string>) => {
      git("checkout", "--quiet", "-b", branch, from);
      for (const [path, text] of Object.entries(files)) {
        mkdirSync(join(repo, path, ".."), { recursive: true });
        writeFileSync(join(repo, path), text);
      }
      git("add", ".");
      git("commit", "--quiet", "-m", branch);
      git("checkout", "--quiet", "main");
    };
    beforeAll(() => {
      commit("configured", "main", { ".github/funprm.yml": CONFIG, "gen/old.py": "def g():\n    return 1\n" });
      commit("generated", "configured", {
        "gen/new.py": "def made(x):\n    return x * 2\n",
        "own.py": "def own(x):\n    return x * 2\n",
        // What a change says about its own review does not count.
        ".github/funprm.yml": 'review: { ignore_paths: ["**"] }\n',
      });
    });

    test("ignored paths are listed, of base's settings, and a wrong key is named with its line", () => {
      const { status, stdout, stderr } = review("--base", "configured", "--head", "generated", "--json");
      const { coverage } = JSON.parse(stdout);
      expect({ status, ...coverage }).toMatchObject({ status: 0, scored: 1 });
      expect(coverage.notScored).toContainEqual({
        path: "gen/new.py",
        name: "made",
        reason: "ignored by configuration",
      });
      expect(stderr).toMatch(/^funprm: \.github\/funprm\.yml line 3: .*colour/);
    });

    test("a finding where check.fail_on says so is exit 1", () => {
      const strict = CONFIG.replace("  colour: red\n", "");
      commit("strict", "main", { ".github/funprm.yml": strict });
      commit("changed", "strict", {
        "a.py": "def kept(x):\n    return x\n\n\ndef total(xs):\n    return xs[0] or eval('1')\n",
      });
      commit("undone", "changed", { "a.py": "def kept(x):\n    return x\n\n\ndef total(xs):\n    return sum(xs)\n" });
      // One of the two directions lowers the reward, whatever the model thinks of either.
      const both = [
        review("--base", "strict", "--head", "changed", "--problem", "Add them up", "--json"),
        review("--base", "changed", "--head", "undone", "--problem", "Add them up", "--json"),
      ];
      const seen = both.map(({ stdout, status }) => ({ found: JSON.parse(stdout).functions[0].finding, status }));
      expect(seen).toContainEqual({ found: true, status: 1 });
      expect(seen).toContainEqual({ found: false, status: 0 });
      expect(both.find(({ status }) => status === 1)!.stderr).toMatch(/check\.fail_on of \.github\/funprm\.yml.*total/);
    });

    test("settings that cannot be read are one line, exit 2", () => {
      commit("broken", "main", { ".github/funprm.yml": "review: { max_inline: many }\n" });
      const { status, stderr, stdout } = review("--base", "broken", "--head", "change");
      expect({ status, stdout, lines: stderr.trim().split("\n").length }).toEqual({ status: 2, stdout: "", lines: 1 });
      expect(stderr).toMatch(/funprm\.yml.*max_inline/);
    });

    test("a link in place of the settings is not followed", () => {
      git("checkout", "--quiet", "-b", "linked", "main");
      mkdirSync(join(repo, ".github"), { recursive: true });
      symlinkSync("../a.py", join(repo, ".github/funprm.yml"));
      git("add", ".");
      git("commit", "--quiet", "-m", "linked");
      git("checkout", "--quiet", "main");
      const { status, stderr } = review("--base", "linked", "--head", "change", "--json");
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    });
  });

  test.each([
    [["--base", "main", "--head", "nowhere"], /has no commit nowhere/],
    [["--base", "--all", "--head", "change"], /--all: not a ref/],
    [["--base", "main", "--head", "change", "--json", "--sarif"], /choose one/],
    [["--base", "main", "--head", "change", "--fail-under", "low"], /give a number/],
    [["--base", "main"], /--head/],
  ])("%j is one line and exit 2", (args, message) => {
    const { status, stderr, stdout } = review(...args);
    expect({ status, lines: stderr.trim().split("\n").length, stdout }).toEqual({ status: 2, lines: 1, stdout: "" });
    expect(stderr).toMatch(message);
  });
});
