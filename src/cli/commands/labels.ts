/** `funprm labels`: what the log says of functions and candidates, taken out of the machine, and taken away for good. */
import { resolve } from "node:path";
import Table from "cli-table3";
import { type Command, InvalidArgumentError } from "commander";
import { FunprmError } from "../../domain/errors.ts";
import { decided, type GradedLabel } from "../../domain/graded-label.ts";
import { labelsOf, type RankingSkill, rankingSkill } from "../../domain/learning-rows.ts";
import { type EventOf, ofKind, outcomeOf } from "../../domain/outcome.ts";
import { learntPulls } from "../../flows/build-snapshot.ts";
import { learningScores, type ScoreSkill, scoreSkill } from "../../flows/learning-scores.ts";
import { type Removed, removeActor, removePlace } from "../../flows/remove-labels.ts";
import type { Clock, Files, LearningStore, RepoRef, ReviewStore } from "../../ports.ts";
import type { CommandContext } from "../context.ts";

export type LabelsDependencies = {
  learning(): Promise<{ learning: LearningStore; reviews: ReviewStore; close(): Promise<void> }>;
  files(): Files;
  /** Folder that snapshots stand in. */
  snapshots(): string;
  clock: Clock;
};

type Filter = { repo?: string; json?: boolean };
/** A verdict of a stored candidate, with where it comes from. */
type CandidateLabel = Omit<EventOf<"judged">, "kind" | "results" | "id" | "actor"> & {
  repository: number;
  pullRequest: number;
};

export function addLabelsCommand(program: Command, context: CommandContext, open: LabelsDependencies): void {
  const command = program.command("labels").description("what became of functions and candidates, graded");
  const use = async (work: (learning: LearningStore, reviews: ReviewStore) => Promise<void>): Promise<void> => {
    const { learning, reviews, close } = await open.learning();
    try {
      await work(learning, reviews);
    } finally {
      await close();
    }
  };
  const all = async (learning: LearningStore, repo: string | undefined) => {
    const repositories = await learning.repositories();
    const only = repo === undefined ? null : repositoryNamed(repositories, repo).repositoryId;
    const now = open.clock.now().getTime();
    const pulls = await learntPulls(learning, only);
    const functions = decided(pulls.flatMap((pull) => labelsOf(pull, now)));
    const candidates = pulls.flatMap((pull) => ofKind(pull.events, "judged").map((one) => candidateLabel(pull, one)));
    const states = pulls.map((pull) => outcomeOf(pull.events, now).state);
    return { repositories, functions, candidates, states, ranking: rankingSkill(pulls) };
  };

  command
    .command("list", { isDefault: true })
    .description("labels of each repository by grade; A and B train, C is reported")
    .option("--repo <owner/name>", "one repository")
    .option("--json", "print every label as JSON")
    .action(({ repo, json }: Filter) =>
      use(async (learning, reviews) => {
        const found = await all(learning, repo);
        const { functions, candidates, ranking } = found;
        const skill = scoreSkill(await learningScores({ reviews, learning, clock: open.clock }));
        context.stdout(
          json === true
            ? `${JSON.stringify({ functions, candidates, ranking, skill })}\n`
            : overview({ ...found, skill }),
        );
      }),
    );

  command
    .command("export")
    .description("labels with their provenance as JSONL: hashes, events and grades, no source text")
    .requiredOption("--out <file>", "where they go (JSONL, .gz or not)")
    .option("--repo <owner/name>", "one repository")
    .option("--json", "print JSON")
    .action(({ out, repo, json }: Filter & { out: string }) =>
      use(async (learning) => {
        const { functions, candidates } = await all(learning, repo);
        const rows = [
          ...functions.map((label) => ({ kind: "function", ...label })),
          ...candidates.map((label) => ({ kind: "candidate", ...label })),
        ];
        const file = await open.files().writeRows(resolve(context.cwd, out), rows);
        context.stdout(json === true ? `${JSON.stringify(file)}\n` : `${file.path}: ${file.rows} labels\n`);
      }),
    );

  command
    .command("delete")
    .description(
      "facts and texts of one person, one repository or one installation, for good; one of the three is needed",
    )
    .option("--actor <login>", "their pull requests, and what they pushed or judged in others'; new ones are refused")
    .option("--repo <owner/name>", "one repository")
    .option("--installation <id>", "everything of one installation", wholeNumber)
    .option("--json", "print JSON")
    .action((options: { actor?: string; repo?: string; installation?: number; json?: boolean }) => {
      const { actor, repo, installation } = options;
      if ([actor, repo, installation].filter((one) => one !== undefined).length !== 1)
        throw new FunprmError(
          "BAD_USAGE",
          "labels delete: name one of --actor LOGIN, --repo OWNER/NAME, --installation ID",
        );
      return use(async (learning) => {
        const ports = { learning, files: open.files(), clock: open.clock };
        const of =
          repo === undefined
            ? { installationId: installation!, repositoryId: undefined }
            : repositoryNamed(await learning.repositories(), repo);
        const gone =
          actor === undefined
            ? await removePlace(ports, open.snapshots(), of.installationId, of.repositoryId)
            : await removeActor(ports, open.snapshots(), actor);
        context.stdout(options.json === true ? `${JSON.stringify(gone)}\n` : said(gone));
      });
    });
}

/** A snapshot is named by the hash of its rows: nothing can be taken out of one. */
function said({ pullRequests, snapshots }: Removed): string {
  const facts = `${pullRequests} pull request${pullRequests === 1 ? "" : "s"} gone`;
  const elsewhere = "those that were written elsewhere are yours to delete";
  if (snapshots.length === 0) return `${facts}; no snapshot here held a row of them, ${elsewhere}\n`;
  return `${facts}, and with them whole the snapshots that held a row of them: ${snapshots.join(", ")}; ${elsewhere}. funprm dataset build --labels makes the set without them; a model that was trained on one stays until funprm models rollback or the next training\n`;
}

function candidateLabel(
  { repositoryId, pullRequest }: { repositoryId: number; pullRequest: number },
  { kind: _kind, results: _results, id: _id, actor: _actor, ...rest }: EventOf<"judged">,
): CandidateLabel {
  return { repository: repositoryId, pullRequest, ...rest };
}

function repositoryNamed(repositories: readonly RepoRef[], name: string): RepoRef {
  const found = repositories.find((one) => `${one.owner}/${one.repo}`.toLowerCase() === name.toLowerCase());
  if (found === undefined)
    throw new FunprmError(
      "BAD_INPUT",
      `--repo ${name}: no outcome of it is in the log; there are ${repositories.map((one) => `${one.owner}/${one.repo}`).join(", ") || "none"}`,
    );
  return found;
}

function overview(found: {
  repositories: readonly RepoRef[];
  functions: readonly GradedLabel[];
  candidates: readonly CandidateLabel[];
  states: readonly string[];
  ranking: RankingSkill;
  skill: readonly ScoreSkill[];
}): string {
  const grades = ["A+", "A-", "B+", "B-", "C"] as const;
  const table = new Table({
    head: ["Repository", ...grades, "Candidates right", "wrong", "no label"],
    style: { head: [], border: [], compact: true },
  });
  for (const ref of found.repositories) {
    const functions = found.functions.filter((label) => label.repository === ref.repositoryId);
    const candidates = found.candidates.filter((label) => label.repository === ref.repositoryId);
    const judged = (label: 0 | 1 | null) => candidates.filter((one) => one.label === label).length;
    table.push([
      `${ref.owner}/${ref.repo}`,
      ...grades.map((grade) => functions.filter((label) => label.grade === grade).length),
      judged(1),
      judged(0),
      judged(null),
    ]);
  }
  const { runs, firstOnly, secondOnly } = found.ranking;
  const shadow =
    runs === 0
      ? ""
      : `${runs} runs judged in shadow: only the first of the two best passes in ${firstOnly}, only the second in ${secondOnly}\n`;
  const skill = found.skill
    .map(
      (one) =>
        `${one.modelVersion}: its scores tell right candidates from wrong ones of the same problem with an AUC of ${one.auc.toFixed(2)} (${one.problems} problems)\n`,
    )
    .join("");
  const of = (state: string) => found.states.filter((one) => one === state).length;
  return `${table.toString()}\n${found.states.length} pull requests: ${of("merged")} merged, ${of("reverted")} reverted, ${of("closed")} closed, ${of("pending")} pending\n${shadow}${skill}`;
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError("a whole number from 1 up");
  return value;
}
