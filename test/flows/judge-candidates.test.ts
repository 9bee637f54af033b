/** The batch: each pair of program and tests once, doubtful verdicts again and alone, order kept, a second start takes over. */
import { describe, expect, it } from "vitest";
import type { CandidateSetProblem } from "../../src/domain/dataset.ts";
import type { JudgeProblem, JudgeVerdict } from "../../src/domain/judge.ts";
import { judgeCandidates } from "../../src/flows/judge-candidates.ts";
import { judgeRows } from "../../src/flows/judge-rows.ts";
import type { Files, Judge } from "../../src/ports.ts";

const problem: JudgeProblem = {
  io: "call",
  entry_point: "f",
  cases: [1, 2, 1].map((expected) => ({ args: [expected], kwargs: {}, expected })),
};

/** Verdicts scripted by the program's text: `TIME_LIMIT,PASS` says so at the first run, then otherwise. */
function scripted() {
  const runs: { code: string; cases: number; beside: number }[] = [];
  const counts = new Map<string, number>();
  let live = 0;
  const judge: Judge = {
    sandbox: { tier: 1, probes: [], message: null },
    async judge(given, { code }) {
      live += 1;
      const said = code.split(",");
      const nth = counts.get(code) ?? 0;
      counts.set(code, nth + 1);
      const cases = given.io === "tests" ? 1 : given.cases.length;
      runs.push({ code, cases, beside: live - 1 });
      await new Promise((resolve) => setTimeout(resolve, code.length % 7));
      live -= 1;
      const verdict = (said[nth] ?? said.at(-1)) as JudgeVerdict["verdict"];
      const one = { verdict, cpuMs: 1, wallMs: 1, detail: null };
      return {
        verdict,
        cases: Array(cases).fill(one),
        cpuMs: 1,
        wallMs: 1,
        peakMemoryMb: 1,
        attested: "out-of-process",
        tier: 1,
        interpreter: "python 3",
        contended: verdict === "TIME_LIMIT",
        detail: null,
      };
    },
    run: () => Promise.reject(new Error("not used")),
    runRepositoryTests: () => Promise.reject(new Error("not used")),
  };
  return { judge, runs };
}

const tasks = (...codes: string[]) =>
  codes.map((code) => ({ problem, candidate: { code, language: "python" as const } }));

describe("judgeCandidates", () => {
  it("runs equal pairs once and gives verdicts in the order asked", async () => {
    const { judge, runs } = scripted();
    const codes = ["WRONG", "PASS", "WRONG", "RUNTIME_ERROR", "PASS"];
    const batch = await judgeCandidates(judge, tasks(...codes), { slots: 3 });
    expect(batch.verdicts.map((verdict) => verdict.verdict)).toEqual(codes);
    expect(batch).toMatchObject({ executions: 3, unique: 3, rerun: 0 });
    expect(runs).toHaveLength(3);
  });

  it("runs a case that stands twice once and reports it twice", async () => {
    const { judge, runs } = scripted();
    const batch = await judgeCandidates(judge, tasks("PASS"), { slots: 1 });
    expect(runs[0]?.cases).toBe(2);
    expect(batch.verdicts[0]?.cases).toHaveLength(3);
  });

  it("repeats time-outs under load and INFRA alone, once", async () => {
    const { judge, runs } = scripted();
    const codes = ["TIME_LIMIT,PASS", "PASS", "INFRA,WRONG", "INFRA,INFRA,PASS", "TIME_LIMIT,TIME_LIMIT"];
    const batch = await judgeCandidates(judge, tasks(...codes), { slots: 4 });
    expect(batch.verdicts.map((verdict) => verdict.verdict)).toEqual(["PASS", "PASS", "WRONG", "INFRA", "TIME_LIMIT"]);
    expect(batch.rerun).toBe(4);
    expect(runs.slice(5).map((run) => run.beside)).toEqual([0, 0, 0, 0]);
  });

  it("says how far it is", async () => {
    const { judge } = scripted();
    const seen: string[] = [];
    await judgeCandidates(judge, tasks("PASS", "WRONG"), {
      slots: 2,
      onProgress: (done, all) => seen.push(`${done}/${all}`),
    });
    expect(seen).toEqual(["1/2", "2/2"]);
  });
});

describe("judgeRows", () => {
  const row = (id: number, tests: unknown): CandidateSetProblem => ({
    set: "s",
    problem_id: `p${id}`,
    group: `g${id}`,
    prompt: "",
    io: "call",
    entry_point: "f",
    tests,
    candidates: [
      { id: `${id}a`, model: "m", code: "PASS", passed: true },
      { id: `${id}b`, model: "m", code: "WRONG", passed: true },
    ],
  });
  const rows = Array.from({ length: 23 }, (_, index) =>
    row(index, index === 3 ? null : ["", `assert f(${index}) == 1`]),
  );

  function memory(): { files: Files; texts: Map<string, string> } {
    const texts = new Map<string, string>();
    const files = {
      text: async (path: string) => texts.get(path) ?? Promise.reject(new Error(path)),
      async *candidateSet() {
        yield* rows;
      },
      writeText: async (path: string, text: string) => void texts.set(path, text),
      writeRows: async (path: string, given: Iterable<unknown>) =>
        void texts.set(path, [...given].map((one) => `${JSON.stringify(one)}\n`).join("")),
    };
    return { files: files as unknown as Files, texts };
  }

  it("judges each set under its own tests and counts agreement", async () => {
    const { judge } = scripted();
    const summary = await judgeRows({ input: "in", out: "out" }, judge, memory().files, { slots: 2 });
    expect(summary).toMatchObject({ rows: 23, judgedRows: 22, converted: 1, candidates: 44, labelled: 44, agree: 22 });
    expect(summary.verdicts).toEqual({ PASS: 22, WRONG: 22 });
  });

  it("takes over finished shards, and gives the same summary", async () => {
    const first = memory();
    const whole = await judgeRows({ input: "in", out: "out" }, scripted().judge, first.files, { slots: 1 });
    first.texts.delete("out/verdicts-00001.jsonl");
    const again = scripted();
    const summary = await judgeRows({ input: "in", out: "out" }, again.judge, first.files, { slots: 1 });
    expect(again.runs).toHaveLength(20);
    expect({ ...summary, executions: 0 }).toEqual({ ...whole, executions: 0 });
  });

  it("never mixes two settings in one folder", async () => {
    const { files } = memory();
    await judgeRows({ input: "in", out: "out" }, scripted().judge, files, { slots: 1 });
    await expect(
      judgeRows({ input: "in", out: "out" }, scripted().judge, files, { slots: 1, cpuSeconds: 5 }),
    ).rejects.toThrow(/another --out/);
  });
});
