/** A labelled issue → a draft pull request that the app can vouch for, or one comment that says why there is none. */
import { type Budget, createBudget } from "../domain/budget.ts";
import type { Candidate } from "../domain/candidate.ts";
import { changedFunctions, type RunReport, stickyComment, type Touched } from "../domain/comment.ts";
import { FunprmError } from "../domain/errors.ts";
import { type SolveIssuePayload, STATE_LABELS } from "../domain/job-payloads.ts";
import { signMarker } from "../domain/marker.ts";
import { learnErrors } from "../domain/reliability.ts";
import { DEFAULT_REPO_CONFIG, type ParsedRepoConfig } from "../domain/repo-config.ts";
import { type Job, type Run, type RunState, TERMINAL_RUN_STATES } from "../domain/run.ts";
import type { RunManifest, SealedManifest } from "../domain/run-manifest.ts";
import type { Ranked } from "../domain/select.ts";
import type {
  Checkout,
  Clock,
  Generator,
  GitHost,
  Judge,
  Log,
  ReactionTarget,
  RepoRef,
  RewardModel,
  RunStore,
  Syntax,
  Workspace,
} from "../ports.ts";
import { chooseJudges, type LlmJudge, type Scorers } from "./choose-judges.ts";
import { effect } from "./effect.ts";
import { Interruption } from "./jobs.ts";
import { pastWitnesses } from "./past-witnesses.ts";
import { publishCandidate, pullRequestTitle } from "./publish-candidate.ts";
import { manifestOf } from "./record-run.ts";
import { type SolveSettings, solveProblem } from "./solve-problem.ts";

export type SolveIssuePorts = {
  host: GitHost;
  runs: RunStore;
  workspace: Workspace;
  syntax: Syntax;
  model: RewardModel;
  /** A bundle that ships with funprm, opened when it is first asked for. */
  bundled: Scorers["bundled"];
  /** Said with the result when `model` stands in for another that was to score. */
  scorerNote?: string | null;
  judge: Judge | null;
  clock: Clock;
  log: Log;
  /** The repository's `.github/funprm.yml`; null when there is none. */
  parseConfig(text: string | null): ParsedRepoConfig;
  /** Stops by itself when the run's budget is spent. */
  generator(settings: { model: string | null; budget: Budget }): Generator;
  /** A language model as a judge, paid from the same budget; null without a key. */
  llmJudge(settings: { model: string | null; budget: Budget }): LlmJudge | null;
  /** Folder of an operator-defined environment with the repository's dependencies. */
  environment(name: string): string;
  matches(glob: string, path: string): boolean;
  /** Seals with the operator's key where there is one. */
  seal(manifest: Omit<RunManifest, "funprm">): SealedManifest;
  markerKey: string;
  /** Address of the run page; null without a public address (rulings 25). */
  link(runId: string): string | null;
};

const CONFIG_PATH = ".github/funprm.yml";
/** Product.md 3.2: at most one edit of the sticky comment in five seconds. */
const STICKY_EVERY_MS = 5_000;
const MAX_ANSWER_TOKENS = 8_192;

export async function solveIssue(ports: SolveIssuePorts, job: Job, signal: AbortSignal, fence: number): Promise<void> {
  const payload = job.payload as SolveIssuePayload;
  const { host, runs } = ports;
  const ref: RepoRef = {
    installationId: payload.installationId,
    repositoryId: payload.repositoryId,
    owner: payload.owner,
    repo: payload.repo,
  };
  const issue = await host.issue(ref, payload.issueNumber);
  const facts = await host.repository(ref);
  if (issue.state === "closed" || issue.locked || issue.isPullRequest || facts.archived) return;

  const base = await host.branchSha(ref, facts.defaultBranch);
  if (base === null)
    return refuse(ports, ref, payload, "the repository has no commit yet, so there is nothing to change");
  const bytes = await host.readFile(ref, CONFIG_PATH, base);
  let settings: ParsedRepoConfig;
  try {
    settings = ports.parseConfig(bytes === null ? null : new TextDecoder().decode(bytes));
  } catch (error) {
    if (!(error instanceof FunprmError && error.kind === "user")) throw error;
    return refuse(ports, ref, payload, error.message);
  }
  const { config } = settings;
  if (payload.trigger.kind === "label" && payload.trigger.label !== config.fix.label) return;
  if (!config.fix.enabled)
    return refuse(
      ports,
      ref,
      payload,
      "fixes are switched off in this repository (`fix.enabled` in `.github/funprm.yml`)",
    );
  const role = await host.role(ref, payload.startedBy);
  if (!(role === "admin" || (role === "write" && config.fix.min_role === "write"))) {
    return refuse(ports, ref, payload, `only people with the ${config.fix.min_role} role can start a run here`);
  }

  // A trigger that came while a run lived has joined it (rulings 21). The same look finds the run of a worker that died
  // between the run's last write and the job's: its effects are all there, only the job is open.
  const last = await runs.latestRun(ref.repositoryId, payload.issueNumber);
  if (last?.finishedAt && job.createdAt <= last.finishedAt) return;
  const { run: opened } = await runs.openRun({
    ...ref,
    issueNumber: payload.issueNumber,
    trigger: payload.trigger,
    startedBy: payload.startedBy,
  });
  await new Attempt(ports, ref, payload, config, settings, opened, fence, signal).work(issue, facts, base);
}

/** A job that is given up for good leaves its run failed, with a note, instead of at work for ever. */
export async function noteDeadRun(
  ports: SolveIssuePorts,
  job: Job,
  failure: { code: string; message: string },
): Promise<void> {
  if (job.kind !== "solve-issue") return;
  const payload = job.payload as SolveIssuePayload;
  const run = await ports.runs.latestRun(payload.repositoryId, payload.issueNumber);
  if (!run || isTerminal(run.state)) return;
  const ref: RepoRef = {
    installationId: payload.installationId,
    repositoryId: payload.repositoryId,
    owner: payload.owner,
    repo: payload.repo,
  };
  const settings = (run.settings ?? { config: DEFAULT_REPO_CONFIG, origins: {} }) as ParsedRepoConfig;
  const attempt = new Attempt(
    ports,
    ref,
    payload,
    settings.config,
    settings,
    run,
    job.fence,
    new AbortController().signal,
  );
  await attempt.fail(failure);
}

/** Told once a user, an issue and a day: 👎 and one comment (product.md 3.1). */
async function refuse(ports: SolveIssuePorts, ref: RepoRef, payload: SolveIssuePayload, reason: string): Promise<void> {
  const day = ports.clock.now().toISOString().slice(0, 10);
  const marker = signMarker(
    ports.markerKey,
    { kind: "refused", fields: { user: payload.startedBy, day } },
    { repositoryId: ref.repositoryId, number: payload.issueNumber },
  );
  await ports.host.setReaction(ref, targetOf(payload), "-1");
  await ports.host.ensureComment(ref, payload.issueNumber, marker, `${marker}\nNo run was started: ${reason}.`);
}

function targetOf(payload: SolveIssuePayload): ReactionTarget {
  return payload.trigger.kind === "command"
    ? { kind: "comment", commentId: payload.trigger.commentId }
    : { kind: "issue", number: payload.issueNumber };
}

function isTerminal(state: RunState): boolean {
  return (TERMINAL_RUN_STATES as readonly string[]).includes(state);
}

/** One attempt at one run: holds what every step of it needs, so that the steps read as a list. */
class Attempt {
  readonly #ports: SolveIssuePorts;
  readonly #ref: RepoRef;
  readonly #payload: SolveIssuePayload;
  readonly #config: ParsedRepoConfig["config"];
  readonly #settings: ParsedRepoConfig;
  readonly #fence: number;
  readonly #signal: AbortSignal;
  #run: Run;
  #candidates = new Map<number, Candidate>();
  #ranking: Ranked[] = [];
  #touched: Touched[] = [];
  #judge: LlmJudge | null = null;
  /** What earlier attempts have paid the judge. */
  #judgedBefore: Run["judged"] = null;
  #stickyAt = Number.NEGATIVE_INFINITY;

  constructor(
    ports: SolveIssuePorts,
    ref: RepoRef,
    payload: SolveIssuePayload,
    config: ParsedRepoConfig["config"],
    settings: ParsedRepoConfig,
    run: Run,
    fence: number,
    signal: AbortSignal,
  ) {
    this.#ports = ports;
    this.#ref = ref;
    this.#payload = payload;
    this.#config = config;
    this.#settings = settings;
    this.#run = run;
    this.#fence = fence;
    this.#signal = signal;
  }

  async work(
    issue: { number: number; title: string; body: string; author: string; url: string },
    facts: { defaultBranch: string; cloneUrl: string },
    base: string,
  ): Promise<void> {
    try {
      await this.#accept(issue, facts.defaultBranch, base);
      const open = (await this.#ports.host.ownOpenPullRequests(this.#ref)).filter(
        (pull) => !pull.headRef.startsWith(`funprm/issue-${issue.number}`),
      );
      if (open.length >= this.#config.fix.max_open_prs) {
        await this.#abstain(
          `${open.length} pull requests of the app are open already, as many as fix.max_open_prs allows`,
          ["merge or close one of them"],
        );
        return;
      }
      const token = await this.#ports.host.readToken(this.#ref);
      const checkout = await this.#ports.workspace.checkout(
        { kind: "remote", cloneUrl: facts.cloneUrl, sha: this.#run.baseSha!, token },
        this.#signal,
      );
      try {
        await this.#solve(checkout);
      } finally {
        await checkout.dispose();
      }
    } catch (error) {
      const why = this.#signal.reason instanceof Interruption ? this.#signal.reason.why : null;
      if (why === "cancelled") await this.#finish("stopped", {});
      else if (why === null && error instanceof FunprmError && error.kind !== "transient") {
        await this.fail({ code: error.code, message: error.message });
      }
      throw error;
    }
  }

  /** Terminal note of a run that cannot go on. */
  async fail(failure: { code: string; message: string }): Promise<void> {
    await this.#finish("failed", { failure });
  }

  async #accept(
    issue: { number: number; title: string; body: string; author: string; url: string },
    baseBranch: string,
    base: string,
  ): Promise<void> {
    const { host } = this.#ports;
    await host.setReaction(this.#ref, targetOf(this.#payload), "eyes");
    for (const { candidate } of await this.#ports.runs.candidates(this.#run.id))
      this.#candidates.set(candidate.index, candidate);
    // The issue's text and the base are frozen when the run first reads them: later edits are not in this run.
    if (this.#run.issue === null) {
      await this.#save({
        issue: { title: issue.title, body: issue.body, author: issue.author, url: issue.url },
        baseBranch,
        baseSha: base,
        settings: {
          config: this.#config,
          origins: this.#settings.origins,
          problems: this.#settings.problems,
        },
        model: this.#ports.model.info,
        rule: this.#config.fix.select,
      });
    }
    await this.#label("running");
    await this.#sticky(true);
  }

  async #solve(checkout: Checkout): Promise<void> {
    const { syntax, judge } = this.#ports;
    const budgetUsd = this.#payload.options.budget ?? this.#config.budget.usd_per_run;
    // What earlier attempts of the run have paid is in its costs.
    const budget = createBudget(budgetUsd - (this.#run.costUsd ?? 0));
    const settings = { model: this.#config.llm.model ?? null, budget };
    const generator = this.#ports.generator(settings);
    this.#judgedBefore = this.#run.judged ?? null;
    const judges = await chooseJudges(
      this.#config,
      this.#ports,
      () => this.#ports.llmJudge(settings) ?? "no LLM is configured",
    );
    this.#judge = judges.judge;
    const { model, pairs, missing } = judges;
    await this.#save({
      generator: { name: generator.name, model: generator.model, origin: generator.origin },
      model: model.info,
      missing:
        this.#ports.scorerNote && model.info === this.#ports.model.info
          ? [this.#ports.scorerNote, ...missing]
          : missing,
    });
    const issue = this.#run.issue!;
    const problem = {
      key: `${this.#ref.owner}/${this.#ref.repo}#${this.#run.issueNumber}`,
      title: issue.title,
      body: issue.body,
      seed: this.#run.seed,
    };
    const past = await pastWitnesses(this.#ports.runs, this.#run, {
      writer: generator.model,
      judge: judges.scorer === "judge" ? model.info.name : null,
    });
    const solving = { ...this.#solveSettings(), scorer: judges.scorer, belief: learnErrors(past) };
    const solution = await solveProblem(
      problem,
      checkout,
      { syntax, generator, model, judge, pairs },
      solving,
      {
        stored: [...this.#candidates.values()],
        reproduction: this.#run.reproduction ?? null,
        onStage: async (stage) => {
          this.#signal.throwIfAborted();
          await this.#save({ state: stage });
          await this.#event("stage", stage);
          await this.#sticky(false);
        },
        onCandidate: async (candidate) => {
          this.#candidates.set(candidate.index, candidate);
          await this.#ports.runs.saveCandidate({ runId: this.#run.id, candidate }, this.#fence);
          await this.#save(this.#costs());
          await this.#sticky(false);
        },
        onReproduction: async (reproduction) => {
          await this.#save({ reproduction });
          await this.#save(this.#costs());
        },
        onRelevant: async (relevant, promptSha256, lookedAt) => {
          await this.#save({
            promptSha256,
            lookedAt,
            relevant: relevant.slice(0, 20).map(({ path, name, score }) => ({ path, name, score })),
          });
        },
      },
      this.#signal,
    );
    const { id, owner, repo, issueNumber, generation } = this.#run;
    const manifest = manifestOf(
      {
        at: this.#ports.clock.now().toISOString(),
        run: { id, repository: `${owner}/${repo}`, issue: issueNumber, generation },
        problem,
        base: checkout.sha,
        settings: solving,
        generator,
        scorer: model.info,
      },
      solution,
    );
    this.#ranking = solution.selection.ranking;
    this.#touched = solution.touched;
    await this.#save({
      tests: solution.tests,
      examples: solution.examples,
      knockout: solution.knockout,
      ...this.#costs(),
      selected: solution.selection.selected,
      selectionReason: solution.selection.reason,
      rule: solution.selection.rule,
      manifest: this.#ports.seal(manifest),
    });
    this.#signal.throwIfAborted();
    if (solution.selection.abstention) {
      await this.#abstain(solution.selection.abstention.reason, solution.selection.abstention.help);
      return;
    }
    await this.#save({ state: "publishing" });
    await this.#event("stage", "publishing");
    const earlier = await this.#earlierAttempt(checkout);
    const published = await publishCandidate(
      this.#ports,
      {
        ref: this.#ref,
        run: this.#run,
        report: (run) => this.#report(run),
        files: solution.files,
        restore: earlier.restore,
        ownHead: earlier.head,
        title: pullRequestTitle(this.#config.pr.title, { title: issue.title, number: this.#run.issueNumber }),
        draft: this.#config.fix.draft,
        signoff: this.#config.commit.signoff === "bot",
      },
      this.#fence,
    );
    await this.#finish("opened", { pullRequest: published.pullRequest, checkRun: published.checkRun });
  }

  #solveSettings(): Omit<SolveSettings, "scorer" | "belief"> {
    const { fix, llm, tests } = this.#config;
    const only = this.#payload.options.path;
    return {
      candidates: Math.min(this.#payload.options.n ?? fix.candidates.max, fix.candidates.max),
      temperature: llm.temperature,
      maxTokens: MAX_ANSWER_TOKENS,
      rule: fix.select,
      policy: {
        blockedPaths: fix.blocked_paths,
        allowedPaths: only ? [only] : fix.allowed_paths,
        matches: this.#ports.matches,
      },
      addTest: fix.add_test,
      tests: {
        run: tests.runner === "sandbox",
        command: tests.command ?? null,
        environment: tests.environment ? this.#ports.environment(tests.environment) : null,
        timeoutSeconds: tests.timeout_s,
      },
    };
  }

  /** What the app's last attempt at this issue left on the branch, to be built upon when nobody else touched it. */
  async #earlierAttempt(
    checkout: Checkout,
  ): Promise<{ head: string | null; restore: { path: string; content: Uint8Array | null }[] }> {
    if (this.#run.generation === 1) return { head: null, restore: [] };
    const { runs } = this.#ports;
    const all = await runs.listRuns({ repositoryId: this.#run.repositoryId });
    const before = all
      .filter(
        (run) => run.issueNumber === this.#run.issueNumber && run.generation < this.#run.generation && run.pullRequest,
      )
      .sort((a, b) => b.generation - a.generation)[0];
    // A moved base would make the old commits part of the new pull request's difference.
    if (!before || before.baseSha !== this.#run.baseSha) return { head: null, restore: [] };
    const candidate = (await runs.candidates(before.id)).find(
      (one) => one.candidate.index === before.selected,
    )?.candidate;
    const paths = new Set(candidate?.edits?.functions.map((edit) => edit.path) ?? []);
    for (const header of candidate?.edits?.headers ?? []) paths.add(header.path);
    // Runs of before 0.3 have no such field.
    if (before.reproduction?.added && before.reproduction.path) paths.add(before.reproduction.path);
    const restore = await Promise.all([...paths].map(async (path) => ({ path, content: await checkout.read(path) })));
    return { head: before.pullRequest!.headSha, restore };
  }

  async #abstain(reason: string, help: string[]): Promise<void> {
    await this.#finish("abstained", { abstention: { reason, help }, selected: null });
  }

  /** The terminal state drives label, reaction and sticky comment together. */
  async #finish(state: (typeof TERMINAL_RUN_STATES)[number], change: Partial<Run>): Promise<void> {
    const { host } = this.#ports;
    await this.#save({ ...change, ...this.#costs() });
    // The state is written last: until then a restart comes back here and completes what is missing.
    this.#run = { ...this.#run, state };
    await this.#label(state === "stopped" ? null : state);
    await host.setReaction(this.#ref, targetOf(this.#payload), reactionOf(state, this.#payload));
    await this.#sticky(true);
    await this.#event("finished", state);
    await this.#save({ state, finishedAt: this.#ports.clock.now().toISOString() });
    this.#ports.log.info("run finished", { run: this.#run.id, state });
  }

  async #label(state: keyof typeof STATE_LABELS | null): Promise<void> {
    const add = state === null ? [] : [STATE_LABELS[state]];
    const remove = [this.#config.fix.label, ...Object.values(STATE_LABELS)].filter(
      (label) => !add.includes(label as never),
    );
    await this.#ports.host.setLabels(this.#ref, this.#run.issueNumber, { add, remove });
  }

  async #sticky(always: boolean): Promise<void> {
    const now = this.#ports.clock.now().getTime();
    if (!always && now - this.#stickyAt < STICKY_EVERY_MS) return;
    this.#stickyAt = now;
    const { repositoryId } = this.#ref;
    const number = this.#run.issueNumber;
    const marker = signMarker(
      this.#ports.markerKey,
      { kind: "sticky", fields: { issue: `${number}` } },
      { repositoryId, number },
    );
    const body = stickyComment(marker, this.#report(this.#run));
    await this.#ports.host.ensureComment(this.#ref, number, marker, body);
    // Edited in place as long as the run lives, so this effect is recorded once and never skipped.
    await effect(
      this.#ports.runs,
      { runId: this.#run.id, kind: "comment", key: "sticky", fence: this.#fence },
      async () => marker,
    );
  }

  #report(run: Run): RunReport {
    const candidates = [...this.#candidates.values()].sort((a, b) => a.index - b.index);
    const chosen = candidates.find((one) => one.index === run.selected);
    return {
      run,
      candidates,
      ranking: this.#ranking,
      changed: chosen ? changedFunctions(chosen, this.#touched, candidates, this.#ranking) : [],
      link: this.#ports.link(run.id),
      limits: {
        candidates: this.#solveSettings().candidates,
        budgetUsd: this.#payload.options.budget ?? this.#config.budget.usd_per_run,
      },
    };
  }

  #costs(): Pick<Run, "costUsd" | "promptTokens" | "completionTokens" | "judged"> {
    const tests = this.#run.reproduction?.sampling;
    const facts = [...[...this.#candidates.values()].map((one) => one.sampling), ...(tests ? [tests] : [])];
    const sum = (values: (number | null)[]) => values.reduce<number>((total, value) => total + (value ?? 0), 0);
    const spent = this.#judge?.spent?.() ?? null;
    const before = this.#judgedBefore;
    const judged =
      spent === null
        ? (this.#run.judged ?? null)
        : {
            costUsd: spent.costUsd === null ? null : spent.costUsd + (before?.costUsd ?? 0),
            promptTokens: spent.promptTokens + (before?.promptTokens ?? 0),
            completionTokens: spent.completionTokens + (before?.completionTokens ?? 0),
          };
    // One unknown price makes the sum unknown: a partial sum would read as the whole.
    const known = facts.length > 0 && [...facts, ...(judged ? [judged] : [])].every((one) => one.costUsd !== null);
    return {
      judged,
      costUsd: known ? sum([...facts, judged].map((one) => one?.costUsd ?? 0)) : null,
      promptTokens: sum([...facts, judged].map((one) => one?.promptTokens ?? 0)),
      completionTokens: sum([...facts, judged].map((one) => one?.completionTokens ?? 0)),
    };
  }

  async #save(change: Partial<Omit<Run, "id">>): Promise<void> {
    this.#run = { ...(await this.#ports.runs.saveRun(this.#run.id, change, this.#fence)) };
  }

  async #event(kind: string, message: string): Promise<void> {
    await this.#ports.runs.addEvent({ runId: this.#run.id, at: this.#ports.clock.now().toISOString(), kind, message });
  }
}

function reactionOf(state: RunState, payload: SolveIssuePayload): "rocket" | "+1" | "confused" | null {
  if (state === "opened") return payload.trigger.kind === "command" ? "+1" : "rocket";
  return state === "abstained" ? "confused" : null;
}
