/** From a generator's answers to candidates that may go on: everything bad is kept with its reason, nothing is paid twice. */
import { beforeAll, describe, expect, it } from "vitest";
import { createReplayGenerator } from "../../src/adapters/replay/replay-generator.ts";
import { createSyntax } from "../../src/adapters/tree-sitter/create-syntax.ts";
import type { Candidate } from "../../src/domain/candidate.ts";
import type { OutlineOf } from "../../src/domain/cof-answer.ts";
import { sampleCandidates } from "../../src/flows/sample-candidates.ts";
import { screenCandidates } from "../../src/flows/screen-candidates.ts";
import type { Checkout, CheckoutFile, FailedSample, Generator, Sample, SampleRequest } from "../../src/ports.ts";

let outline: OutlineOf;
beforeAll(async () => {
  const syntax = await createSyntax();
  outline = (source) => syntax.outline(source, "python");
});

const edit = (path: string, source: string, name = "f") => `### ${path} :: ${name}\n\`\`\`python\n${source}\n\`\`\`\n`;
const generator = (texts: string[], finishReason = "stop") =>
  createReplayGenerator(
    texts.map((text, index) => ({
      problem: "p",
      index,
      text,
      model: "m",
      origin: "scripted" as const,
      finishReason,
      promptTokens: null,
      completionTokens: null,
      costUsd: null,
    })),
    "answers.jsonl",
  );
const request = (n: number): SampleRequest => ({
  messages: [],
  n,
  temperature: null,
  seed: null,
  maxTokens: 1,
  problem: "p",
});

async function sampled(source: Generator, n: number, stored: Candidate[] = [], signal = new AbortController().signal) {
  const saved: Candidate[] = [];
  const all = await sampleCandidates(
    source,
    request(n),
    { stored, outline, onCandidate: async (candidate) => void saved.push(candidate) },
    signal,
  );
  return { all, saved };
}

const BASE: Record<string, [mode: CheckoutFile["mode"], text: string]> = {
  "a.py": ["100644", "def f(x):\n    return x\n"],
  "link.py": ["120000", "/etc/passwd"],
  vendor: ["160000", ""],
};
const checkout: Checkout = {
  sha: "0",
  root: "/nowhere",
  files: async () => Object.entries(BASE).map(([path, [mode, text]]) => ({ path, mode, size: text.length })),
  read: async (path) => (BASE[path]?.[0] === "100644" ? Buffer.from(BASE[path][1]) : null),
  tree: async () => "",
  dispose: async () => undefined,
};
const policy = { blockedPaths: ["secret/"], allowedPaths: [], matches: (g: string, p: string) => p.startsWith(g) };

async function reasons(texts: string[]) {
  const { all } = await sampled(generator(texts), texts.length);
  const screened = await screenCandidates(all, checkout, policy, outline);
  return screened.map(({ candidate, files }) => {
    expect(files === null).toBe(candidate.status !== "sampled");
    return candidate.status === "rejected" ? candidate.reason!.split(":")[0] : candidate.status;
  });
}

describe("sampling", () => {
  it("saves each candidate as it arrives, a failed one too, and gives all in order", async () => {
    const { all, saved } = await sampled(generator([edit("a.py", "def f(x):\n    return 1"), "no"]), 3);
    expect(saved.map((one) => one.index)).toEqual([0, 1, 2]);
    expect(all.map((one) => one.status)).toEqual(["sampled", "rejected", "rejected"]);
    expect(all[0]).toMatchObject({ compliance: { functions: 1, monolithic: true }, verdict: "NOT_RUN", raw: /def f/ });
    expect(all[1]!.reason).toMatch(/^malformed: /);
    expect(all[2]!.reason).toMatch(/^GENERATOR_REFUSED: /);
  });

  it("asks only for what is not stored, and for nothing when all is", async () => {
    const texts = [edit("a.py", "def f(x):\n    return 1"), edit("a.py", "def f(x):\n    return 2")];
    const { all: stored } = await sampled(generator(texts), 1);
    const second = await sampled(generator(texts), 2, stored);
    expect(second.saved.map((one) => one.index)).toEqual([1]);
    expect(second.all.map((one) => one.index)).toEqual([0, 1]);
    const silent: Generator = {
      name: "silent",
      model: "m",
      origin: "llm",
      sample() {
        throw new Error("asked although all is stored");
      },
    };
    expect((await sampled(silent, 2, second.all)).saved).toEqual([]);
  });

  it("stops between candidates when it is cancelled, with what came before saved", async () => {
    const abort = new AbortController();
    const saved: number[] = [];
    const texts = [1, 2, 3].map((n) => edit("a.py", `def f(x):\n    return ${n}`));
    const run = sampleCandidates(
      generator(texts),
      request(3),
      {
        stored: [],
        outline,
        onCandidate: async (candidate) => {
          saved.push(candidate.index);
          if (candidate.index === 1) abort.abort();
        },
      },
      abort.signal,
    );
    await expect(run).rejects.toThrow();
    expect(saved).toEqual([0, 1]);
  });

  it("keeps the cost of a sample that failed", async () => {
    const facts = {
      model: "m",
      temperature: null,
      seed: null,
      finishReason: "error",
      promptTokens: 9,
      completionTokens: 0,
      costUsd: 0.5,
      selfCertainty: null,
    };
    const failing: Generator = {
      name: "failing",
      model: "m",
      origin: "llm",
      async *sample(): AsyncGenerator<Sample | FailedSample> {
        yield { index: 0, error: { code: "GENERATOR_TRANSIENT", message: "cut" }, facts };
      },
    };
    const { all } = await sampled(failing, 1);
    expect(all[0]).toMatchObject({
      status: "rejected",
      reason: "GENERATOR_TRANSIENT: cut",
      sampling: { costUsd: 0.5 },
    });
  });
});

describe("screening", () => {
  it("lets through what applies and names the rule of everything else", async () => {
    const good = "def f(x):\n    return x + 1";
    expect(
      await reasons([
        edit("a.py", good),
        edit("a.py", "def f(x):\n    # the same, said differently\n\n    return x + 1"),
        edit("a.py", "def f(x):\n    return x"),
        edit("../a.py", good),
        edit(".github/workflows/a.py", good),
        edit("tests/test_a.py", good),
        edit("secret/a.py", good),
        edit("link.py", good),
        edit("vendor/a.py", good),
        edit("A.py", good),
        edit("a.py", "def f(x):\n    return '\u202e'"),
        edit("a.py", "def f(x):\n    return ｅｖａｌ(x)"),
        edit("a.py", `def f(x):\n    return "ghp_${"a".repeat(36)}"`),
        "",
      ]),
    ).toEqual([
      "sampled",
      "duplicate",
      "no-change",
      "path",
      "forbidden",
      "forbidden",
      "blocked",
      "mode",
      "mode",
      "mode",
      "hidden",
      "hidden",
      "secret",
      "empty",
    ]);
  });
});
