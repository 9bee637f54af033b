/** `funprm solve`: the app's own steps on a local folder, without GitHub. */

import { resolve } from "node:path";
import type { Command } from "commander";
import { type Budget, createBudget } from "../../domain/budget.ts";
import type { Candidate } from "../../domain/candidate.ts";
import { reproductionEvidence } from "../../domain/comment.ts";
import { FunprmError } from "../../domain/errors.ts";
import { sha256 } from "../../domain/ids.ts";
import { UNKNOWN } from "../../domain/reliability.ts";
import type { ParsedRepoConfig } from "../../domain/repo-config.ts";
import type { RunManifest, SealedManifest } from "../../domain/run-manifest.ts";
import { unifiedPatch } from "../../domain/unified-patch.ts";
import { chooseJudges, type LlmJudge, type Scorers } from "../../flows/choose-judges.ts";
import { manifestOf, textsOf } from "../../flows/record-run.ts";
import { type SolvePorts, type SolveSettings, solveProblem } from "../../flows/solve-problem.ts";
import type { Checkout, Files } from "../../ports.ts";
import { type CommandContext, settingsOf } from "../context.ts";
import { candidateJson, candidatesTable } from "./demo.ts";

export type SolveDependencies = {
  files: () => Files;
  checkout(path: string): Promise<Checkout>;
  /** Ports for a local run; `replay` is a file of recorded answers or null for the configured LLM. */
  ports(replay: string | null, settings: LlmSettings): Promise<Omit<SolvePorts, "pairs"> & Scorers>;
  /** Null without a key. */
  llmJudge(settings: LlmSettings): LlmJudge | null;
  seal(manifest: Omit<RunManifest, "funprm">): SealedManifest;
  now(): Date;
  /** Folder of an operator-defined environment with the repository's dependencies. */
  environment(name: string): string;
  parseConfig(text: string | null): ParsedRepoConfig;
  matches(glob: string, path: string): boolean;
};

type LlmSettings = { model: string | null; budget: Budget };

type Options = {
  repo: string;
  issue: string;
  n?: string;
  out?: string;
  manifest?: string;
  replay?: string;
  seed?: string;
  json?: boolean;
};

export function addSolveCommand(program: Command, context: CommandContext, dependencies: SolveDependencies): void {
  program
    .command("solve")
    .description("solve an issue of a local repository: candidates, rewards, tests, the chosen patch")
    .requiredOption("--repo <dir>", "folder of the repository")
    .requiredOption("--issue <file>", "the issue: its first line is the title")
    .option("--n <count>", "candidates (default: fix.candidates.max of the repository's configuration)")
    .option("--out <file>", "write the chosen patch here")
    .option("--manifest <file>", "write run.json here: what funprm replay starts from")
    .option("--replay <file>", "recorded answers instead of an LLM")
    .option("--seed <number>", "seed of ties and sampling", "0")
    .option("--json", "print the result as JSON")
    .action((options: Options) => run(options, context, dependencies));
}

async function run(options: Options, context: CommandContext, dependencies: SolveDependencies): Promise<void> {
  const path = (given: string) => resolve(context.cwd, given);
  const count = options.n === undefined ? null : Number(options.n);
  if (count !== null && !(Number.isInteger(count) && count >= 1 && count <= 64))
    throw new FunprmError("BAD_USAGE", `--n ${options.n}: give a whole number from 1 to 64`);
  const seed = Number(options.seed);
  if (!Number.isSafeInteger(seed)) throw new FunprmError("BAD_USAGE", `--seed ${options.seed}: give a whole number`);
  const files = dependencies.files();
  const text = await files.text(path(options.issue));
  const [title = "", ...rest] = text.replace(/^\ufeff/, "").split(/\r?\n/);
  const checkout = await dependencies.checkout(path(options.repo));
  const abort = new AbortController();
  const interrupt = () => abort.abort(new FunprmError("INTERRUPTED", "interrupted"));
  process.once("SIGINT", interrupt);
  try {
    const bytes = await checkout.read(".github/funprm.yml");
    const config = settingsOf(bytes, dependencies.parseConfig, context);
    const llm = { model: config.llm.model, budget: createBudget(config.budget.usd_per_run) };
    const ports = await dependencies.ports(options.replay === undefined ? null : path(options.replay), llm);
    const { model, pairs, scorer, missing } = await chooseJudges(config, ports, () =>
      options.replay === undefined
        ? (dependencies.llmJudge(llm) ?? "no LLM is configured")
        : "recorded answers are replayed, so no LLM is asked",
    );
    for (const line of missing) context.stderr(`funprm: ${line}\n`);
    const candidates = new Map<number, Candidate>();
    const problem = {
      key: `local:${sha256(text).slice(0, 12)}`,
      title: title.replace(/^#+\s*/, ""),
      body: rest.join("\n").trim(),
      seed,
    };
    const settings: SolveSettings = {
      candidates: count ?? config.fix.candidates.max,
      temperature: config.llm.temperature,
      maxTokens: 8_192,
      rule: config.fix.select,
      policy: {
        blockedPaths: config.fix.blocked_paths,
        allowedPaths: config.fix.allowed_paths,
        matches: dependencies.matches,
      },
      scorer,
      belief: UNKNOWN,
      addTest: config.fix.add_test,
      tests: {
        run: config.tests.runner === "sandbox",
        command: config.tests.command,
        environment: config.tests.environment === null ? null : dependencies.environment(config.tests.environment),
        timeoutSeconds: config.tests.timeout_s,
      },
    };
    const solution = await solveProblem(
      problem,
      checkout,
      { ...ports, model, pairs },
      settings,
      {
        stored: [],
        reproduction: null,
        onStage: async (stage) => context.stderr(`solve: ${stage}\n`),
        onCandidate: async (candidate) => void candidates.set(candidate.index, candidate),
        onRelevant: async () => {},
        onReproduction: async () => {},
      },
      abort.signal,
    );
    const patch = unifiedPatch(solution.files);
    if (options.manifest !== undefined) {
      const sealed = dependencies.seal(
        manifestOf(
          {
            at: dependencies.now().toISOString(),
            run: null,
            problem,
            base: checkout.sha,
            settings,
            generator: ports.generator,
            scorer: model.info,
          },
          solution,
        ),
      );
      const texts = textsOf(problem, solution.candidates, solution.reproduction);
      await files.writeText(path(options.manifest), `${JSON.stringify({ ...sealed, texts }, null, 1)}\n`);
      if (sealed.seal.signature === null)
        context.stderr(`funprm: ${options.manifest} is not signed: SIGNING_KEY_PATH is not set\n`);
    }
    if (options.out !== undefined && solution.selection.selected !== null)
      await files.writeText(path(options.out), patch);
    const { selected, abstention, reason } = solution.selection;
    if (options.json) {
      context.stdout(
        `${JSON.stringify({ selected, abstention: abstention?.reason ?? null, reason, rule: solution.selection.rule, model: model.info, missing, tests: solution.tests.status, candidates: solution.candidates.map(candidateJson) })}\n`,
      );
      return;
    }
    context.stdout(`${candidatesTable(solution.candidates, selected)}\n`);
    const { reproduction } = solution;
    const written = reproductionEvidence({ reproduction, selected }).replaceAll(/\\(.)/g, "$1");
    if (written !== "") context.stdout(`${written}\n`);
    context.stdout(
      abstention
        ? `Abstained: ${abstention.reason}.\n${abstention.help.map((help, i) => `  ${i + 1}. ${help}\n`).join("")}`
        : `Candidate ${selected}: ${reason}.\n${options.out === undefined ? patch : `Patch: ${options.out}\n`}`,
    );
  } finally {
    process.off("SIGINT", interrupt);
    await checkout.dispose();
  }
}
