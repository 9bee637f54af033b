/**
 * What running candidates says without any private test: examples of the statement, and outputs on generated inputs for
 * agreement. One sandbox a candidate; a candidate that ends badly has no output there, which is an answer too.
 */
import { EXAMPLE_EQUALITY, type Examples, extractExamples } from "../domain/examples.ts";
import type { Outline } from "../domain/function-step.ts";
import { generateInputs } from "../domain/generated-inputs.ts";
import type { JudgeOptions, JudgeOutputs } from "../domain/judge.ts";
import { decodeValue, parseExactJson, sameOutput, sameValue } from "../domain/judge-values.ts";
import type { Judge, Syntax } from "../ports.ts";

/** Version of extraction, generation and comparison: part of every key under which evidence is kept. */
export const EVIDENCE_VERSION = 2;
/** First character of an output that is none. */
const FAILED = "!";

export type ProblemText = {
  prompt: string;
  entryPoint: string | null;
  io: "call" | "stdin";
  /** Source that has to stand before each program; empty for none. */
  preamble: string;
};

export type Evidence = {
  examples: { passed: number; total: number } | null;
  outputs: string[] | null;
};

/** `settled`: false where the machine failed twice (INFRA), which says nothing of the program and is not to be kept. */
export type Gathered = Evidence & { settled: boolean };

export const NO_EVIDENCE: Evidence = { examples: null, outputs: null };

/** LeetCode imports these by itself, so programs of its form, `class Solution`, count on them. */
const LEETCODE_IMPORTS = `from typing import *
from collections import *
from functools import *
from heapq import *
from itertools import *
from bisect import *
import bisect, collections, functools, heapq, itertools, math, random, re, string, sys
`;

/** A program with the imports that its form takes for granted. */
export function withFormImports(io: "call" | "stdin", program: string): string {
  const leetcode = io === "call" && /^class Solution\b/m.test(program) && !/^from __future__\b/m.test(program);
  return leetcode ? `${LEETCODE_IMPORTS}${program}` : program;
}

/**
 * Evidence for each program, in order. Programs with equal text are run once; where the machine failed, or load could explain
 * a time-out, once more with nothing beside it.
 */
export async function gatherEvidence(
  ports: { judge: Judge; syntax: Syntax },
  problem: ProblemText,
  programs: readonly string[],
  options: JudgeOptions & { slots: number },
  signal?: AbortSignal,
): Promise<Gathered[]> {
  const plan = planOf(problem, ports.syntax);
  if (plan === null) return programs.map(() => ({ ...NO_EVIDENCE, settled: true }));
  const distinct = [...new Set(programs)];
  const found = new Map<string, Doubtful>();
  let next = 0;
  const work = async () => {
    for (let at = next++; at < distinct.length; at = next++) {
      signal?.throwIfAborted();
      found.set(distinct[at]!, await evidenceOf(ports, problem, plan, distinct[at]!, options, signal));
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, options.slots) }, work));
  for (const [code, { failed, contended }] of found)
    if (failed || contended) found.set(code, await evidenceOf(ports, problem, plan, code, options, signal));
  return programs.map((code) => {
    const { evidence, failed } = found.get(code)!;
    return { ...(failed ? NO_EVIDENCE : evidence), settled: !failed };
  });
}

/** `failed`: the machine, not the program. `contended`: a time-out that load could explain. */
type Doubtful = { evidence: Evidence; failed: boolean; contended: boolean };

type Plan = { examples: Examples; signature: string | null };

/** Null when the statement offers nothing to run. */
function planOf(problem: ProblemText, syntax: Syntax): Plan | null {
  const outline = problem.io === "call" ? syntax.outline(problem.prompt, "python") : null;
  const shown = [...problem.prompt.matchAll(/\bdef\s+(\w+)\s*\(/g)].map((match) => match[1]!);
  const names = new Set(problem.entryPoint === null ? shown : [...shown, problem.entryPoint]);
  const examples = extractExamples(problem.prompt, names.size === 0 ? null : names);
  if (problem.io === "stdin") return examples.stdin.length === 0 ? null : { examples, signature: null };
  const signature =
    outline?.definitions.find((one) => problem.entryPoint === null || one.simpleName === problem.entryPoint)
      ?.signature ?? shownHeader(problem.prompt);
  const calls = ofOneFunction(examples.calls, problem.entryPoint);
  const plan = { examples: { ...examples, calls, stdin: [] }, signature };
  const inputs = generateInputs(
    calls.map((one) => one.case),
    signature,
    problem.prompt,
  );
  return inputs.length === 0 && examples.scripts.length === 0 ? null : plan;
}

/** The first `def name(…)` of a text that is no Python as a whole. */
function shownHeader(text: string): string | null {
  const start = /\bdef\s+\w+\s*\(/.exec(text);
  const end = start === null ? -1 : text.indexOf(")", start.index);
  return end < 0 ? null : text.slice(start!.index, end + 1);
}

/** Examples of the function that is asked for, else of the first that has one: those of its helpers say nothing of it. */
function ofOneFunction(calls: Examples["calls"], entryPoint: string | null): Examples["calls"] {
  const nameOf = (entry: string | null) => entry?.slice(entry.lastIndexOf(".") + 1) ?? null;
  const names = calls.map(({ entry }) => nameOf(entry));
  const meant = names.includes(entryPoint) ? entryPoint : (names.find((name) => name !== null) ?? null);
  return calls.filter((_, at) => names[at] === null || names[at] === meant);
}

async function evidenceOf(
  { judge, syntax }: { judge: Judge; syntax: Syntax },
  problem: ProblemText,
  plan: Plan,
  program: string,
  options: JudgeOptions,
  signal: AbortSignal | undefined,
): Promise<Doubtful> {
  const whole = withFormImports(problem.io, program);
  const candidate = {
    code: problem.preamble === "" ? whole : `${problem.preamble}\n${whole}`,
    language: "python" as const,
  };
  if (problem.io === "stdin") {
    const cases = plan.examples.stdin.map((one) => one.case);
    const { outputs } = await judge.run(
      { io: "stdin", cases: cases.map(({ input }) => ({ input })) },
      candidate,
      options,
      signal,
    );
    const passed = cases.filter((one, k) => {
      const output = outputs[k]!;
      return "value" in output && sameOutput(one.expected, output.value);
    }).length;
    return {
      evidence: { examples: { passed, total: cases.length }, outputs: outputs.map(outputText) },
      ...doubtOf(outputs),
    };
  }
  const calls = plan.examples.calls.map((one) => one.case);
  const inputs = generateInputs(calls, plan.signature, problem.prompt);
  const entry = entryOf(syntax.outline(program, "python"), problem.entryPoint, plan.examples);
  let [passed, total] = [0, calls.length];
  let texts: string[] | null = null;
  let doubt = doubtOf([]);
  if (inputs.length > 0 && entry === null) texts = inputs.map(() => `${FAILED}missing`);
  else if (inputs.length > 0) {
    const call = { io: "call" as const, entry_point: entry!, cases: inputs };
    const { outputs } = await judge.run(call, candidate, options, signal);
    doubt = doubtOf(outputs);
    texts = outputs.map(outputText);
  }
  if (texts !== null)
    passed = calls.filter((one, k) => texts![k] !== undefined && equalsOutput(one.expected, texts![k]!)).length;
  if (plan.examples.scripts.length > 0) {
    const scripts = plan.examples.scripts.map(({ source }) => source);
    const verdict = await judge.judge(
      { io: "tests", entry_point: null, tests: asUnittest(scripts), style: "unittest" },
      candidate,
      options,
      signal,
    );
    doubt = {
      failed: doubt.failed || verdict.verdict === "INFRA",
      contended: doubt.contended || verdict.contended,
    };
    passed += verdict.cases.filter((one) => one.verdict === "PASS").length;
    total += scripts.length;
  }
  return { evidence: { examples: total === 0 ? null : { passed, total }, outputs: texts }, ...doubt };
}

function doubtOf(outputs: JudgeOutputs["outputs"]): Pick<Doubtful, "failed" | "contended"> {
  return {
    failed: outputs.some((one) => "error" in one && one.verdict === "INFRA"),
    contended: outputs.some((one) => "error" in one && one.contended === true),
  };
}

/** What was printed may begin with the mark of a failure: a blank before it keeps the two apart. */
function outputText(output: JudgeOutputs["outputs"][number]): string {
  if (!("value" in output)) return `${FAILED}${output.error}`;
  return output.value.startsWith(FAILED) ? ` ${output.value}` : output.value;
}

function equalsOutput(expected: Parameters<typeof decodeValue>[0], output: string): boolean {
  if (output.startsWith(FAILED)) return false;
  try {
    return sameValue(decodeValue(expected), decodeValue(parseExactJson(output)), EXAMPLE_EQUALITY);
  } catch {
    return false;
  }
}

/** What to call in a program: the entry point as function or method, else what the examples call, else its only candidate. */
function entryOf(outline: Outline, entryPoint: string | null, examples: Examples): string | null {
  const called = examples.calls.find((one) => one.entry !== null)?.entry ?? null;
  for (const wanted of [entryPoint, called?.slice(called.lastIndexOf(".") + 1) ?? null]) {
    const definition = wanted === null ? undefined : outline.definitions.find((one) => one.simpleName === wanted);
    if (definition) return callable(definition);
  }
  const solution = outline.definitions.filter(
    (one) => one.name.startsWith("Solution.") && !one.simpleName.startsWith("_"),
  );
  if (solution.length > 0) return callable(solution[0]!);
  const functions = outline.definitions.filter((one) => one.kind === "function");
  return functions.length === 1 ? functions[0]!.name : null;
}

function callable({ name, kind }: Outline["definitions"][number]): string {
  const dot = name.lastIndexOf(".");
  return kind === "method" ? `${name.slice(0, dot)}().${name.slice(dot + 1)}` : name;
}

/** Every script is a test of its own, so that each has its verdict. */
function asUnittest(scripts: readonly string[]): string {
  const tests = scripts.map(
    (source, k) =>
      `    def test_${k}(self):\n${source
        .split("\n")
        .map((line) => `        ${line}`)
        .join("\n")}`,
  );
  return `import unittest\n\n\nclass Examples(unittest.TestCase):\n${tests.join("\n\n")}\n`;
}
