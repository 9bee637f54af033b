import { createHash } from "node:crypto";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { openRewardModel } from "../../src/adapters/onnx/reward-model.ts";
import { createTokens } from "../../src/adapters/onnx/tokens.ts";
import { createLlmJudge } from "../../src/adapters/openai/llm-judge.ts";
import { startLocalWorker } from "../../src/adapters/worker/local-worker.ts";
import { openWorkerModel } from "../../src/adapters/worker/worker-model.ts";
import { createBudget } from "../../src/domain/budget.ts";
import { encode } from "../../src/domain/encode.ts";
import { RENDER_VERSION } from "../../src/domain/render.ts";
import { BUNDLED_MODELS } from "../../src/domain/repo-config.ts";
import type { RewardModel } from "../../src/ports.ts";
import { startFakeLlm } from "../fakes/fake-llm.ts";
import { createFakeRewardModel } from "../fakes/fake-reward-model.ts";

const TINY = fileURLToPath(new URL("../fixtures/models/tiny", import.meta.url));
const SHIPPED = fileURLToPath(new URL("../../models/", import.meta.url));
const vectors = (path: string) => JSON.parse(readFileSync(new URL(`../vectors/${path}`, import.meta.url), "utf8"));

const CHAIN = ["def main():\n    return helper(2)", "def helper(n):\n    return n * 2", "def last():\n    return None"];
const row = (id: string, prompt: string, completions: string[]) => ({ id, prompt, completions });

/** A real worker in a process of its own. */
async function openWorkerOnTiny(): Promise<RewardModel> {
  const worker = await startLocalWorker(fileURLToPath(new URL("../../gpu-worker", import.meta.url)), TINY);
  const model = await openWorkerModel({ ...worker, clock: { now: () => new Date(0), sleep: async () => {} } });
  return { ...model, dispose: worker.stop };
}

/** P(yes) is a hash of the question. */
async function openJudgeOnFake(): Promise<RewardModel> {
  const llm = await startFakeLlm(({ messages }) => {
    const yes = createHash("sha256").update(JSON.stringify(messages)).digest().readUInt32BE(0) / 2 ** 32;
    return {
      tokens: [
        ["yes", yes],
        ["no", 1 - yes],
      ],
    };
  });
  const clock = { now: () => new Date(0), sleep: async () => {} };
  const judge = createLlmJudge({
    apiKey: "k",
    baseUrl: llm.url,
    model: "m",
    price: null,
    budget: createBudget(0),
    clock,
  });
  return { ...judge, dispose: llm.stop };
}

for (const [name, open] of [
  ["onnx adapter", () => openRewardModel(TINY)],
  ...BUNDLED_MODELS.map((bundle) => [`onnx adapter with ${bundle}`, () => openRewardModel(SHIPPED + bundle)] as const),
  ["gpu-worker over HTTP", openWorkerOnTiny],
  ["fake", async () => createFakeRewardModel()],
  ["language model as a judge", openJudgeOnFake],
] as const) {
  describe(`RewardModel: ${name}`, () => {
    let model: RewardModel;
    beforeAll(async () => {
      model = await open();
    });
    afterAll(() => model.dispose());

    test("one reward a completion in [0,1], rows in order", async () => {
      const rows = [row("a", "p", CHAIN), row("b", "q", CHAIN.slice(0, 1)), row("c", "", [""])];
      const scored = await model.score(rows);
      expect(scored.map((each) => each.id)).toEqual(["a", "b", "c"]);
      expect(scored.map((each) => each.rewards.length)).toEqual([3, 1, 1]);
      expect(scored.map((each) => each.tokens.length)).toEqual([3, 1, 1]);
      for (const reward of scored.flatMap((each) => each.rewards)) {
        expect(reward).toBeGreaterThanOrEqual(0);
        expect(reward).toBeLessThanOrEqual(1);
      }
    });

    test("the same call twice gives the same numbers", async () => {
      const rows = [row("a", "p", CHAIN)];
      expect(await model.score(rows)).toEqual(await model.score(rows));
    });

    test("one pass equals separate prefixes: no reward sees a later step", async () => {
      const [whole] = await model.score([row("a", "p", CHAIN)]);
      for (let length = 1; length <= CHAIN.length; length += 1) {
        const [prefix] = await model.score([row("a", "p", CHAIN.slice(0, length))]);
        expect(Math.abs(prefix!.rewards.at(-1)! - whole!.rewards[length - 1]!)).toBeLessThan(1e-4);
      }
    });

    test("neighbours in the batch change nothing", async () => {
      const [alone] = await model.score([row("a", "p", CHAIN)]);
      const crowd = Array.from({ length: 20 }, (_, at) => row(`n${at}`, "long prompt ".repeat(at * 2), CHAIN));
      const [among] = await model.score([row("a", "p", CHAIN), ...crowd]);
      among!.rewards.forEach((reward, at) => {
        expect(Math.abs(reward! - alone!.rewards[at]!)).toBeLessThan(1e-4);
      });
    });

    test("a step longer than the window has no reward, with the reason", async () => {
      const [scored] = await model.score([row("a", "p", ["def f(): pass", "word ".repeat(12_000)])]);
      expect(scored!.rewards[0]).not.toBeNull();
      expect(scored!.rewards[1]).toBeNull();
      expect(scored!.reasons).toEqual([null, "too_long"]);
    });

    test("no rows, no work; render version is the one that is rendered", async () => {
      expect(await model.score([])).toEqual([]);
      expect(model.info.renderVersion).toBe(RENDER_VERSION);
    });
  });
}

type EncodeCase = {
  name: string;
  prompt: string;
  completions: string[];
  maxTokens: number;
  ids: number[] | null;
  stepPositions: number[] | null;
  truncatedTokens: number | null;
};
type ScoreCase = { name: string; prompt: string; completions: string[]; rewards: number[]; truncatedTokens: number };

describe("the onnx adapter against vectors of the Python side", () => {
  const tokens = createTokens(JSON.parse(readFileSync(join(TINY, "tokenizer.json"), "utf8")), "<|step|>", "<|pad|>");

  test.each<EncodeCase>(vectors("encode/tiny.json").cases)("encode: $name", (vector) => {
    const completions = vector.completions.map((text) => tokens.ids(text));
    const encoded = encode(tokens.ids(vector.prompt), completions, tokens.stepId, vector.maxTokens);
    if (vector.ids === null) expect(encoded).toBeNull();
    else
      expect(encoded).toEqual({
        ids: vector.ids,
        stepPositions: vector.stepPositions,
        truncatedTokens: vector.truncatedTokens,
      });
  });

  test("score vectors", async () => {
    const { rows, tolerance }: { rows: ScoreCase[]; tolerance: number } = vectors("score/tiny.json");
    const model = await openRewardModel(TINY);
    const scored = await model.score(rows.map((vector) => row(vector.name, vector.prompt, vector.completions)));
    await model.dispose();
    rows.forEach((vector, index) => {
      expect(scored[index]!.truncatedTokens, vector.name).toBe(vector.truncatedTokens);
      vector.rewards.forEach((expected, at) => {
        expect(Math.abs(scored[index]!.rewards[at]! - expected), vector.name).toBeLessThan(tolerance);
      });
    });
  });

  test("a chain longer than the window is scored in windows, its first steps as in the prefix that fits", async () => {
    const model = await openRewardModel(TINY);
    const steps = Array.from(
      { length: 40 },
      (_, at) => `def step_${at}(value):\n    return value + ${at}  + sum(range(value)) * 3`,
    );
    const signatures = steps.map((_, at) => `def step_${at}(value)`);
    const [scored] = await model.score([{ id: "long", prompt: "p", completions: steps, signatures }]);
    const [prefix] = await model.score([{ id: "prefix", prompt: "p", completions: steps.slice(0, 2), signatures }]);
    await model.dispose();
    expect(scored!.windowed).toBe(true);
    expect(prefix!.windowed).toBe(false);
    expect(scored!.rewards.every((reward) => reward !== null)).toBe(true);
    expect(Math.abs(scored!.rewards[1]! - prefix!.rewards[1]!)).toBeLessThan(1e-4);
  });
});

describe("a bundle that is not what it says", () => {
  let folder = "";
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const copy = () => {
    folder = mkdtempSync(join(tmpdir(), "funprm-bundle-"));
    for (const name of readdirSync(TINY)) copyFileSync(join(TINY, name), join(folder, name));
    return folder;
  };
  const changeManifest = (change: (manifest: Record<string, unknown>) => void) => {
    const path = join(copy(), "manifest.json");
    const manifest = JSON.parse(readFileSync(path, "utf8"));
    change(manifest);
    writeFileSync(path, JSON.stringify(manifest));
  };

  test("no folder", async () => {
    await expect(openRewardModel("/nonexistent/bundle")).rejects.toMatchObject({ code: "MODEL_MISSING" });
  });

  test.each(["manifest.json", "model.onnx", "tokenizer.json"])("%s missing", async (name) => {
    rmSync(join(copy(), name));
    await expect(openRewardModel(folder)).rejects.toMatchObject({
      code: "MODEL_MISSING",
      message: expect.stringContaining(name),
    });
  });

  test.each(["manifest.json", "model.onnx", "tokenizer.json"])("%s cut short", async (name) => {
    const path = join(copy(), name);
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.subarray(0, bytes.length - 100));
    await expect(openRewardModel(folder)).rejects.toMatchObject({
      code: "MODEL_REFUSED",
      message: expect.stringContaining(name),
    });
  });

  test("one altered byte in the weights", async () => {
    const path = join(copy(), "model.onnx");
    const bytes = readFileSync(path);
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(path, bytes);
    await expect(openRewardModel(folder)).rejects.toMatchObject({ code: "MODEL_REFUSED" });
  });

  test.each<[string, (manifest: Record<string, unknown>) => void, RegExp]>([
    ["another render version", (manifest) => Object.assign(manifest, { renderVersion: "v0" }), /render version v0/],
    [
      "a parity reward that differs",
      (manifest) => (manifest as never as ParityOf).parity.rows[0]!.rewards.splice(0, 1, 0.9),
      /parity row/,
    ],
    [
      "a step token that the tokenizer does not have",
      (manifest) => Object.assign(manifest, { stepToken: "<|none|>" }),
      /<\|none\|>/,
    ],
    ["a field missing", (manifest) => delete manifest["maxTokens"], /maxTokens/],
  ])("%s", async (_, change, message) => {
    changeManifest(change);
    const error = await openRewardModel(folder).catch((caught) => caught);
    expect(error).toMatchObject({ code: "MODEL_REFUSED", message: expect.stringMatching(message) });
    expect(error.message).not.toContain("\n");
  });
});

type ParityOf = { parity: { rows: { rewards: number[] }[] } };
