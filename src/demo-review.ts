/** The story of a reviewer: a person's pull request with one planted defect, and what the app says of its functions. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Story } from "./cli/commands/demo.ts";
import { DEMO, startDemo } from "./compose.ts";

const AT = { owner: "funprm-demo", repo: "tidytime" };
const PERSON = "ada";
const BRANCH = "weeks-and-offsets";
const PATIENCE_MS = 120_000;
/**
 * Chosen before it was ever scored and never changed to make the model look better: counting starts at zero instead of
 * at the offset, so `next_run(3, 60, 5)` is 65 where 5 is right.
 */
const PLANTED = { path: "tidytime/schedule.py", name: "next_run" };

type Check = { status: string; conclusion: string | null; title: string; summary: string; headSha: string };

export const reviewStory: Story = async ({ verbose, progress, hold }) => {
  progress("starting a GitHub of its own and the app on this machine");
  const { github, app } = await startDemo({ verbose, answers: DEMO.answers });
  try {
    await github.act("repository", { ...AT, folder: DEMO.repository, message: "tidytime 0.3" });
    await github.act("role", { ...AT, login: PERSON, role: "write" });
    const changed = join(DEMO.review, "tidytime");
    const files = readdirSync(changed)
      .filter((name) => name.endsWith(".py"))
      .sort()
      .map((name) => ({ path: `tidytime/${name}`, text: readFileSync(join(changed, name), "utf8") }));
    const [title = "", ...body] = readFileSync(join(DEMO.review, "pull.md"), "utf8").split("\n");
    const { sha } = await github.act("push", { ...AT, login: PERSON, branch: BRANCH, files });
    const pull = { ...AT, login: PERSON, branch: BRANCH, title, body: body.join("\n").trim() };
    const { number } = await github.act("pull", pull);
    progress(`${PERSON} opens pull request #${number}: ${title}`);
    const check = await completed(async () => {
      await github.act("settled");
      const { repos } = await github.act("state");
      return (repos[0].checkRuns as Check[]).find((one) => one.headSha === sha) ?? null;
    });
    const { repos, violations } = await github.act("state");
    const issue = repos[0].issues.find((one: { number: number }) => one.number === number);
    const rows = functionRows(check.summary);
    const planted = rows.find((row) => row.name === `${PLANTED.path}: ${PLANTED.name}`) ?? null;
    const pageUrl = `${github.url}/${AT.owner}/${AT.repo}/pull/${number}`;
    const html = await (await fetch(pageUrl)).text();
    const folder = join(tmpdir(), "funprm-demo");
    mkdirSync(folder, { recursive: true });
    const pageFile = join(folder, "review.html");
    writeFileSync(pageFile, html);
    const text = [
      `Pull request #${number} "${title}" of ${PERSON}: ${rows.length} changed functions.`,
      `Check run FunPRM / functions: ${check.conclusion} · ${check.title}`,
      "",
      ...rows.map((row) => `  ${row.rank.padStart(2)}  ${row.name} (${row.change}) attribution ${row.attribution}`),
      "",
      planted === null
        ? `The planted defect, ${PLANTED.name} in ${PLANTED.path}, is not in the table.`
        : `The planted defect, ${PLANTED.name} in ${PLANTED.path}, has rank ${planted.rank} of ${rows.length}.`,
      `Review comments posted: ${issue.pull.comments.length}. Code of the pull request was parsed, never executed.`,
      `Page: ${pageFile}`,
      "",
    ].join("\n");
    const broken = violations.length
      ? `the fake GitHub refused or saw ${violations.map((one: { message: string }) => one.message).join("; ")}`
      : planted === null
        ? "the function with the planted defect was not reviewed"
        : null;
    if (hold) await hold(`${text}Open ${pageUrl}\n`);
    return {
      text,
      json: {
        pullRequest: { number, branch: BRANCH, url: pageUrl, title },
        checkRun: { conclusion: check.conclusion, title: check.title },
        functions: rows,
        planted: { ...PLANTED, rank: planted === null ? null : Number(planted.rank) },
        reviewComments: issue.pull.comments.length,
        page: pageFile,
      },
      broken,
    };
  } finally {
    await app.stop();
    await github.stop();
  }
};

type Row = { rank: string; name: string; change: string; attribution: string };

/** As a reader sees them: from the table that stands in the check run. */
function functionRows(summary: string): Row[] {
  const lines = summary.split("\n").filter((line) => line.startsWith("| "));
  const cellsOf = (line: string) =>
    line
      .slice(2, -2)
      .split(" | ")
      .map((cell) => cell.replaceAll("`", "").trim());
  const columns = cellsOf(lines[0] ?? "").map((name) => name.toLowerCase());
  return lines.slice(2).map((line) => {
    const cells = cellsOf(line);
    const cell = (name: string) => cells[columns.indexOf(name)] ?? "";
    return { rank: cell("rank"), name: cell("function"), change: cell("change"), attribution: cell("attribution") };
  });
}

async function completed(look: () => Promise<Check | null>): Promise<Check> {
  for (const until = Date.now() + PATIENCE_MS; Date.now() < until; ) {
    const check = await look();
    if (check?.status === "completed") return check;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`no check run was completed within ${PATIENCE_MS / 1000} s`);
}
