/** Pages as a reader would see them: an issue, a pull request with comments under their lines, its checks. Self-contained. */
import { parsePatch } from "./anchors.ts";
import { branchHead, log, readCommit } from "./git.ts";
import { escapeHtml, renderMarkdown } from "./markdown.ts";
import { pullDiff } from "./pull-diff.ts";
import type { World } from "./state.ts";
import { type CheckRun, type Issue, type Pull, Refusal, type Repo, type ReviewComment } from "./types.ts";

const STYLE = `
:root{color-scheme:light dark;--bg:#fff;--fg:#1f2328;--soft:#59636e;--line:#d1d9e0;--panel:#f6f8fa;--add:#dafbe1;--del:#ffebe9;--accent:#0969da;--open:#1a7f37;--draft:#59636e;--neutral:#818b98}
@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#f0f6fc;--soft:#9198a1;--line:#3d444d;--panel:#151b23;--add:#12261e;--del:#25171c;--accent:#4493f8;--open:#3fb950;--draft:#9198a1;--neutral:#9198a1}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;overflow-wrap:break-word}
main{max-width:960px;margin:0 auto;padding:16px}h1{font-size:1.6em;font-weight:500;margin:.4em 0}h1 span{color:var(--soft)}a{color:var(--accent)}
.banner{background:var(--panel);border-bottom:1px solid var(--line);color:var(--soft);padding:6px 16px;font-size:13px}
.state{display:inline-block;border-radius:2em;padding:3px 12px;color:#fff;background:var(--open);font-size:14px}.state.draft{background:var(--draft)}.state.closed{background:#8250df}
.label{display:inline-block;border:1px solid var(--line);border-radius:2em;padding:0 8px;font-size:12px;margin-right:4px}
.box{border:1px solid var(--line);border-radius:6px;margin:16px 0;overflow:hidden}.head{display:flow-root;background:var(--panel);border-bottom:1px solid var(--line);padding:8px 14px;font-size:13px;color:var(--soft)}.head b{color:var(--fg)}
.body{padding:4px 14px;overflow-x:auto}.bot{border:1px solid var(--line);border-radius:2em;font-size:11px;padding:0 6px}
.event{color:var(--soft);font-size:13px;margin:8px 14px}.reactions span{border:1px solid var(--line);border-radius:2em;padding:0 8px;margin:0 4px 8px 0;display:inline-block}
table{border-collapse:collapse;display:block;overflow-x:auto;max-width:100%;font-size:14px}th,td{border:1px solid var(--line);padding:4px 10px;text-align:left;vertical-align:top}td code{white-space:nowrap}@media(max-width:600px){main{padding:10px}table{font-size:13px}th,td{padding:3px 7px;min-width:3.5em}}
pre{background:var(--panel);padding:10px;border-radius:6px;overflow-x:auto;font-size:13px}code{font-family:ui-monospace,SFMono-Regular,Menlo,monospace;font-size:.9em;background:var(--panel);border-radius:4px;padding:1px 4px}pre code{padding:0}
.diff{font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,monospace;overflow-x:auto;display:grid;grid-template-columns:minmax(100%,max-content)}.diff .row{display:grid;grid-template-columns:3.2em 3.2em minmax(max-content,1fr)}.diff .row>*{padding:0 8px;white-space:pre}.diff .n{color:var(--soft);text-align:right}
.addition{background:var(--add)}.deletion{background:var(--del)}.hunk{background:var(--panel);color:var(--soft);padding:2px 8px}
nav{display:flex;gap:18px;border-bottom:1px solid var(--line);margin:12px 0;flex-wrap:wrap}nav a{padding:6px 2px;text-decoration:none;color:var(--fg)}nav span{background:var(--panel);border-radius:2em;padding:0 7px;font-size:12px}
.plus{color:var(--open)}.minus{color:#d1242f}.verdict{border-radius:2em;padding:1px 8px;font-size:12px;color:#fff;background:var(--neutral)}.verdict.success{background:#1a7f37}.verdict.failure,.verdict.action_required{background:#d1242f}
button{float:right;margin-left:6px;border:1px solid var(--line);border-radius:6px;background:var(--panel);color:var(--fg);font-size:12px;padding:2px 10px}.annotations{padding-left:18px}h2{font-weight:500;margin-top:1.6em}
.inline{margin:8px}.verified{border:1px solid var(--open);color:var(--open);border-radius:2em;padding:0 7px;font-size:11px}sub{color:var(--soft);font-size:12px;vertical-align:baseline}
`;

function frame(world: World, title: string, body: string): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escapeHtml(title)}</title><style>${STYLE}</style></head>
<body><div class="banner">fake GitHub of the FunPRM demo, on this machine only · app <b>${escapeHtml(world.app.slug)}</b></div><main>${body}</main></body></html>`;
}

function who(world: World, login: string): string {
  const bot = world.users.get(login.toLowerCase())?.type === "Bot";
  return `<b>${escapeHtml(login.replace(/\[bot\]$/, ""))}</b>${bot ? ' <span class="bot">bot</span>' : ""}`;
}

const EMOJI: Record<string, string> = {
  eyes: "👀",
  rocket: "🚀",
  "+1": "👍",
  "-1": "👎",
  confused: "😕",
  heart: "❤️",
  laugh: "😄",
  hooray: "🎉",
};

function reactionsHtml(reactions: { content: string }[]): string {
  const counts = Map.groupBy(reactions, (one) => one.content);
  if (counts.size === 0) return "";
  const shown = [...counts].map(
    ([content, all]) => `<span>${EMOJI[content] ?? escapeHtml(content)} ${all.length}</span>`,
  );
  return `<div class="reactions">${shown.join("")}</div>`;
}

function box(world: World, login: string, what: string, text: string, reactions: { content: string }[] = []): string {
  return `<section class="box"><div class="head">${who(world, login)} ${escapeHtml(what)}</div><div class="body">${renderMarkdown(text)}${reactionsHtml(reactions)}</div></section>`;
}

function conversation(world: World, issue: Issue): string {
  const entries = [
    ...issue.comments.map((one) => ({
      at: one.createdAt,
      order: 1,
      html: box(
        world,
        one.login,
        one.history.length > 1 ? `commented · edited ${one.history.length - 1} times` : "commented",
        one.body,
        one.reactions,
      ),
    })),
    ...issue.events.map((one) => ({
      at: one.at,
      order: 0,
      html: `<div class="event">${who(world, one.login)} ${escapeHtml(one.text)}</div>`,
    })),
    ...(issue.pull?.reviews ?? []).map((one) => ({
      at: one.submittedAt,
      order: 2,
      html: box(world, one.login, "reviewed", one.body),
    })),
  ];
  return entries
    .sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : a.order - b.order))
    .map((one) => one.html)
    .join("\n");
}

function heading(repo: Repo, issue: Issue): string {
  const { pull } = issue;
  const state = pull?.merged ? "Merged" : issue.state === "closed" ? "Closed" : pull?.draft ? "Draft" : "Open";
  const labels = issue.labels.map((name) => `<span class="label">${escapeHtml(name)}</span>`).join("");
  const about = pull
    ? `wants to merge <code>${escapeHtml(pull.headRef)}</code> into <code>${escapeHtml(pull.baseRef)}</code>`
    : "opened this issue";
  return `<p><a href="/">${escapeHtml(repo.owner)}/${escapeHtml(repo.name)}</a></p><h1>${escapeHtml(issue.title)} <span>#${issue.number}</span></h1>
<p><span class="state ${state.toLowerCase()}">${state}</span> <b>${escapeHtml(issue.login)}</b> ${about}</p><p>${labels}</p>`;
}

export function issuePage(world: World, repo: Repo, issue: Issue): string {
  return frame(
    world,
    `${issue.title} · Issue #${issue.number}`,
    `${heading(repo, issue)}${box(world, issue.login, "wrote", issue.body, issue.reactions)}${conversation(world, issue)}`,
  );
}

export function pullPage(world: World, repo: Repo, issue: Issue, pull: Pull): string {
  const diff = pullDiff(repo, pull);
  const files = diff.map((file) => {
    const comments = pull.comments.filter((one) => one.path === file.path && one.inReplyTo === null);
    const current = comments.filter((one) => one.line !== null && one.commitId === pull.headSha);
    const above = comments
      .filter((one) => !current.includes(one))
      .map((one) => `<div class="inline">${threadHtml(world, pull, one)}</div>`)
      .join("");
    const counts = `<span class="plus">+${file.additions}</span> <span class="minus">−${file.deletions}</span>`;
    const lines =
      file.patch === null ? '<div class="event">No lines to show.</div>' : patchHtml(world, pull, file.patch, current);
    return `<section class="box"><div class="head"><b>${escapeHtml(file.path)}</b> ${counts}</div>${above}${lines}</section>`;
  });
  const checks = repo.checkRuns.filter((one) => one.headSha === pull.headSha).map((one) => checkHtml(one));
  const body = `${heading(repo, issue)}<nav><a href="#conversation">Conversation</a><a href="#files">Files changed <span>${diff.length}</span></a><a href="#checks">Checks <span>${checks.length}</span></a></nav>
<div id="conversation">${box(world, issue.login, "wrote", issue.body, issue.reactions)}${commitsHtml(world, repo, pull)}${conversation(world, issue)}</div>
<h2 id="files">Files changed</h2>${files.join("\n")}
<h2 id="checks">Checks</h2>${checks.length === 0 ? '<p class="event">No checks.</p>' : checks.join("\n")}`;
  return frame(world, `${issue.title} · Pull request #${issue.number}`, body);
}

function commitsHtml(world: World, repo: Repo, pull: Pull): string {
  return log(repo.gitDir, pull.headSha, { exclude: pull.baseSha, limit: 20 })
    .reverse()
    .map((sha) => {
      const commit = readCommit(repo.gitDir, sha);
      const badge = repo.verified.has(sha) ? ' <span class="verified">Verified</span>' : "";
      const author = who(world, repo.commitLogins.get(sha) ?? commit.author.name);
      return `<div class="event">${author} committed <code>${sha.slice(0, 7)}</code> ${escapeHtml(commit.message.split("\n")[0]!)}${badge}</div>`;
    })
    .join("");
}

function checkHtml(run: CheckRun): string {
  const annotations = run.annotations
    .map((one) => {
      const lines = one.start_line === one.end_line ? one.start_line : `${one.start_line}–${one.end_line}`;
      return `<li class="${one.annotation_level}"><code>${escapeHtml(one.path)}:${lines}</code> ${escapeHtml(one.annotation_level)} · <b>${escapeHtml(one.title ?? "")}</b> ${escapeHtml(one.message)}</li>`;
    })
    .join("");
  const buttons = run.actions
    .map(
      (one) =>
        `<button type="button" disabled title="${escapeHtml(one.description)}">${escapeHtml(one.label)}</button>`,
    )
    .join("");
  const list = annotations === "" ? "" : `<h3>Annotations</h3><ul class="annotations">${annotations}</ul>`;
  return `<section class="box"><div class="head"><b>${escapeHtml(run.name)}</b> <span class="verdict ${escapeHtml(run.conclusion ?? run.status)}">${escapeHtml(run.conclusion ?? run.status)}</span> ${escapeHtml(run.title ?? "")}${buttons}</div><div class="body">${renderMarkdown(run.summary ?? "")}${renderMarkdown(run.text ?? "")}${list}</div></section>`;
}

/** A review comment with the replies to it. */
function threadHtml(world: World, pull: Pull, first: ReviewComment): string {
  const outdated = first.commitId === pull.headSha ? "" : " · outdated";
  const where =
    first.line === null
      ? "on the file"
      : first.startLine === null
        ? `on line ${first.line}`
        : `on lines ${first.startLine} to ${first.line}`;
  const replies = pull.comments
    .filter((one) => one.inReplyTo === first.id)
    .map((one) => box(world, one.login, "replied", one.body, one.reactions));
  return box(world, first.login, `${where}${outdated}`, first.body, first.reactions) + replies.join("");
}

function patchHtml(world: World, pull: Pull, patch: string, comments: ReviewComment[]): string {
  const lines = parsePatch(patch);
  const headers = patch.split("\n").filter((line) => line.startsWith("@@"));
  let hunk = -1;
  const rows = lines.map((line) => {
    const start = line.hunk === hunk ? "" : `<div class="hunk">${escapeHtml(headers[line.hunk] ?? "")}</div>`;
    hunk = line.hunk;
    const below = comments
      .filter((one) => (one.side === "RIGHT" ? line.right : line.left) === one.line)
      .map((one) => `<div class="inline">${threadHtml(world, pull, one)}</div>`)
      .join("");
    const mark = line.kind === "addition" ? "+" : line.kind === "deletion" ? "-" : " ";
    const row = `<div class="row ${line.kind}"><span class="n">${line.left ?? ""}</span><span class="n">${line.right ?? ""}</span><span>${mark}${escapeHtml(line.text)}</span></div>`;
    return `${start}${row}${below === "" ? "" : `</div>${below}<div class="diff">`}`;
  });
  return `<div class="diff">${rows.join("")}</div>`;
}

function indexPage(world: World): string {
  const repos = world.repos.map((repo) => {
    const items = repo.issues
      .map(
        (one) =>
          `<li><a href="/${repo.owner}/${repo.name}/${one.pull ? "pull" : "issues"}/${one.number}">#${one.number} ${escapeHtml(one.title)}</a></li>`,
      )
      .join("");
    return `<h2>${escapeHtml(repo.owner)}/${escapeHtml(repo.name)}</h2><p>head <code>${branchHead(repo.gitDir, repo.defaultBranch)?.slice(0, 7) ?? ""}</code></p><ul>${items}</ul>`;
  });
  return frame(world, "fake GitHub", repos.join(""));
}

/** HTML of a path, or a 404. */
export function answerPage(world: World, path: string): string {
  if (path === "/") return indexPage(world);
  const match = /^\/([^/]+)\/([^/]+)\/(issues|pull)\/(\d+)$/.exec(path);
  if (!match) throw new Refusal(404, "Not Found");
  const repo = world.repo(match[1]!, match[2]!);
  const issue = world.issue(repo, Number(match[4]));
  return issue.pull ? pullPage(world, repo, issue, issue.pull) : issuePage(world, repo, issue);
}
