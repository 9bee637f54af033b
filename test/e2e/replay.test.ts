/** `funprm solve --manifest`, then `funprm replay` in another folder: the same rewards and tree, and one line for every trick. */
import { spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createFiles } from "../../src/adapters/files/files.ts";
import { createSyntax } from "../../src/adapters/tree-sitter/create-syntax.ts";
import { createWorkspace } from "../../src/adapters/workspace/workspace.ts";
import type { RunFile } from "../../src/domain/run-manifest.ts";
import { replayRun } from "../../src/flows/replay-run.ts";
import { createFakeRewardModel } from "../fakes/fake-reward-model.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const TINY = join(ROOT, "test/fixtures/models/tiny");
const BODIES = ["sum(items)", "sum(x for x in items)", "sum(items)", "max(items)", "(broken"];
let folder: string;
let run: RunFile;

function funprm(args: string[], env: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(ROOT, "src/main.ts"), ...args], {
    cwd: folder,
    encoding: "utf8",
    // No key, no address of anything: a replay needs neither.
    env: { PATH: process.env["PATH"]!, INIT_CWD: folder, MODEL_DIR: TINY, ...env },
  });
  return { status, stdout, stderr };
}
const saved = (name: string, change: (file: RunFile) => unknown) => {
  const file = structuredClone(run);
  change(file);
  writeFileSync(join(folder, name), JSON.stringify(file));
  return name;
};

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "funprm-replay-"));
  const git = (...args: string[]) => {
    const told = spawnSync("git", ["-c", "user.name=t", "-c", "user.email=t@t", ...args], {
      cwd: join(folder, "repo"),
    });
    expect(told.status).toBe(0);
  };
  spawnSync("mkdir", ["-p", join(folder, "repo")]);
  writeFileSync(
    join(folder, "repo/total.py"),
    "def total(items):\n    return 0\n\n\ndef other():\n    return total([])\n",
  );
  git("init", "-q");
  git("add", "-A");
  git("commit", "-qm", "first");
  writeFileSync(join(folder, "issue.md"), "# total gives 0\n\nIt should be the sum.\n");
  const rows = BODIES.map((body, index) =>
    JSON.stringify({
      index,
      text: `### total.py :: total\n\`\`\`python\ndef total(items):\n    """Sum."""\n    return ${body}\n\`\`\``,
    }),
  );
  writeFileSync(join(folder, "answers.jsonl"), rows.join("\n"));
  const { privateKey } = generateKeyPairSync("ed25519");
  writeFileSync(join(folder, "key.pem"), privateKey.export({ format: "pem", type: "pkcs8" }));
  const solved = funprm(
    [
      "solve",
      "--repo",
      "repo",
      "--issue",
      "issue.md",
      "--n",
      "6",
      "--replay",
      "answers.jsonl",
      "--manifest",
      "run.json",
    ],
    { SIGNING_KEY_PATH: join(folder, "key.pem") },
  );
  expect([solved.status, solved.stderr]).toEqual([0, expect.not.stringContaining("not signed")]);
  run = JSON.parse(readFileSync(join(folder, "run.json"), "utf8")) as RunFile;
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("funprm replay", () => {
  test("gives identical rewards and the same tree on another copy, with no key and no network", () => {
    cpSync(join(folder, "repo"), join(folder, "copy"), { recursive: true });
    const { status, stdout } = funprm(["replay", "run.json", "--repo", "copy", "--json"], {
      https_proxy: "http://127.0.0.1:9",
    });
    const report = JSON.parse(stdout);
    expect([status, report.same, report.differences]).toEqual([0, true, []]);
    expect(report.rewards).toMatchObject({ source: "recomputed", compared: 3 });
    expect(report.rewards.maxDifference).toBeLessThanOrEqual(1e-5);
    expect([report.tree, report.base.tree]).toEqual([run.manifest.tree, run.manifest.base.tree]);
    expect(report.signature).toMatchObject({ signed: true, trusted: false });
    // Broken, missing and equal answers are what they were.
    expect(run.manifest.candidates.map((one) => one.status)).toEqual([
      "scored",
      "scored",
      "duplicate",
      "scored",
      "rejected",
      "rejected",
    ]);
  });

  test("refuses what was changed, with one line", () => {
    const changed = saved("changed.json", (file) => {
      file.texts.answers[0] = file.texts.answers[0]!.replace("sum", "min");
    });
    const told = funprm(["replay", changed, "--repo", "repo"]);
    expect([told.status, told.stderr]).toEqual([
      2,
      "funprm: changed.json: the answer of candidate 0 was changed after the run was sealed; fetch the run again\n",
    ]);
  });

  test("refuses what is no recorded run, and an unknown key in one", async () => {
    writeFileSync(join(folder, "text.json"), "hello");
    writeFileSync(join(folder, "list.json"), "[]");
    saved("extra.json", (file) => Object.assign(file.manifest, { more: 1 }));
    for (const [name, why] of [
      ["text.json", "not JSON"],
      ["list.json", "expected object"],
      ["extra.json", "manifest: Unrecognized key"],
      ["none.json", "no such file"],
    ])
      await expect(createFiles().runFile(join(folder, name!))).rejects.toThrow(why);
    expect(await createFiles().runFile(join(folder, "run.json"))).toEqual(run);
  });
});

describe("a replay", () => {
  const replay = async (file: RunFile, model = createFakeRewardModel()) => {
    const checkout = await createWorkspace().checkout({ kind: "local", path: join(folder, "repo"), ref: null });
    return replayRun(
      file,
      checkout,
      { syntax: await createSyntax(), model },
      () => false,
      new AbortController().signal,
    );
  };

  test("of another tree is refused, naming both", async () => {
    const file = structuredClone(run);
    file.manifest.base.tree = "0".repeat(40);
    file.manifest.scorer = createFakeRewardModel().info;
    await expect(replay(file)).rejects.toThrow(/holds tree [0-9a-f]{40}, the run read 0{40} \(working copy\)/);
  });

  test("by another model is refused, naming the one that scored", async () => {
    await expect(replay(run)).rejects.toMatchObject({
      code: "MODEL_REFUSED",
      message: expect.stringContaining("scored by tiny 0.0.0"),
    });
  });

  test("that gives other rewards, another choice or another tree says each", async () => {
    const model = createFakeRewardModel(() => 0.25);
    const file = structuredClone(run);
    file.manifest.scorer = model.info;
    file.manifest.tree = "0".repeat(40);
    file.manifest.prompt.sha256 = "0".repeat(64);
    const { differences, rewards } = await replay(file, model);
    expect(differences.map((one) => one.split(":")[0])).toEqual(
      expect.arrayContaining(["prompt", "rewards of candidate 0", "tree"]),
    );
    expect(rewards.maxDifference).toBeGreaterThan(1e-5);
  });

  test("of a run that a language model judged takes its rewards as recorded and still decides and builds anew", async () => {
    const file = structuredClone(run);
    file.manifest.settings.scorer = "judge";
    file.manifest.scorer = { ...file.manifest.scorer, name: "llm-judge m", sha256: "f".repeat(64) };
    const { differences, rewards, tree } = await replay(file);
    expect(differences.filter((one) => !one.startsWith("selected") && !one.startsWith("tree"))).toEqual([]);
    expect(rewards).toMatchObject({ source: "recorded", maxDifference: 0 });
    expect(tree).toMatch(/^[0-9a-f]{40}$/);
  });
});
