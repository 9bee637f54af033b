/** The app's check run: found again by name, head and external id. */
import type { CheckAnnotation, CheckRunState, GitHost, RepoRef } from "../../ports.ts";
import type { GitHubClient } from "./client.ts";
import { checkedBody, ensure } from "./ensure.ts";
import { mayHaveHappened } from "./refusal.ts";

type CheckRun = {
  id: number;
  html_url: string | null;
  name: string;
  external_id: string | null;
  status: string;
  conclusion: string | null;
  details_url: string | null;
  app: { id: number } | null;
  output: { title: string | null; summary: string | null; text: string | null; annotations_count: number };
};

/** Further ones go in updates, which append (product.md 4.1). */
const ANNOTATIONS_A_REQUEST = 50;
const LONGEST = { title: 255, message: 64_000 };

export function checkCalls(client: GitHubClient, appId: number): Pick<GitHost, "ensureCheckRun"> {
  const { octokit } = client;
  const { checks } = octokit.rest;

  async function find(ref: RepoRef, state: CheckRunState): Promise<CheckRun | null> {
    const { owner, repo } = ref;
    const runs = await client.read(ref, `read check runs of ${state.headSha}`, (parameters) =>
      octokit.paginate(checks.listForRef, {
        owner,
        repo,
        ref: state.headSha,
        check_name: state.name,
        app_id: appId,
        filter: "all",
        per_page: 100,
        ...parameters,
      }),
    );
    const own = runs.filter((run) => run.app?.id === appId && run.name === state.name);
    return own.find((run) => run.external_id === state.externalId) ?? null;
  }

  /**
   * Annotations that the run does not hold. Those of an earlier look at the same head stay, GitHub takes none away: what is said
   * of a function by the same title is not said again in other words.
   */
  async function missing(ref: RepoRef, run: CheckRun, wanted: readonly CheckAnnotation[]): Promise<CheckAnnotation[]> {
    if (run.output.annotations_count === 0 || wanted.length === 0) return [...wanted];
    const { owner, repo } = ref;
    const there = await client.read(ref, `read annotations of check run ${run.id}`, (parameters) =>
      octokit.paginate(checks.listAnnotations, { owner, repo, check_run_id: run.id, per_page: 100, ...parameters }),
    );
    const keyOf = (one: ReturnType<typeof annotation>) =>
      JSON.stringify([one.path, one.start_line, one.end_line, one.annotation_level, one.title]);
    const known = new Set(there.map((one) => keyOf(one as ReturnType<typeof annotation>)));
    return wanted.filter((one) => !known.has(keyOf(annotation(one))));
  }

  return {
    async ensureCheckRun(ref, state) {
      const { owner, repo } = ref;
      const annotations = state.output?.annotations ?? [];
      const look = () => find(ref, state);
      let created = false;
      let run = await ensure(look, async () => {
        created = true;
        const { data } = await client.write(ref, `create check run ${state.name}`, (parameters) =>
          checks.create({
            owner,
            repo,
            name: state.name,
            head_sha: state.headSha,
            external_id: state.externalId,
            ...fields(state, annotations.slice(0, ANNOTATIONS_A_REQUEST)),
            ...parameters,
          } as Parameters<typeof checks.create>[0]),
        );
        return data;
      });
      // An update appends its annotations: only those that do not stand there yet are sent.
      let left = created ? annotations.slice(ANNOTATIONS_A_REQUEST) : await missing(ref, run, annotations);
      while (left.length > 0 || !shows(run, state)) {
        const batch = left.slice(0, ANNOTATIONS_A_REQUEST);
        const id = run.id;
        try {
          const { data } = await client.write(ref, `update check run ${state.name}`, (parameters) =>
            checks.update({
              owner,
              repo,
              check_run_id: id,
              ...fields(state, batch),
              ...parameters,
            } as Parameters<typeof checks.update>[0]),
          );
          run = data;
        } catch (error) {
          if (!mayHaveHappened(error)) throw error;
          const after = await look();
          if (!after || !shows(after, state) || (await missing(ref, after, batch)).length > 0) throw error;
          run = after;
        }
        left = left.slice(batch.length);
        if (left.length === 0) break;
      }
      return { id: run.id, url: run.html_url ?? "" };
    },
  };
}

function fields(state: CheckRunState, batch: CheckAnnotation[]) {
  const { output } = state;
  return {
    status: state.status,
    ...(state.conclusion === null ? {} : { conclusion: state.conclusion }),
    ...(state.detailsUrl === null ? {} : { details_url: state.detailsUrl }),
    ...(output === null
      ? {}
      : {
          output: {
            title: output.title,
            summary: checkedBody(output.summary),
            ...(output.text === null ? {} : { text: checkedBody(output.text) }),
            ...(batch.length === 0 ? {} : { annotations: batch.map(annotation) }),
          },
        }),
    ...(state.actions.length === 0 ? {} : { actions: state.actions }),
  };
}

function annotation(one: CheckAnnotation) {
  return {
    path: one.path,
    start_line: one.startLine,
    end_line: one.endLine,
    annotation_level: one.level,
    title: one.title.slice(0, LONGEST.title),
    message: one.message.slice(0, LONGEST.message),
  };
}

function shows(run: CheckRun, state: CheckRunState): boolean {
  const { output } = state;
  return (
    run.status === state.status &&
    (run.conclusion ?? null) === state.conclusion &&
    (state.detailsUrl === null || run.details_url === state.detailsUrl) &&
    (output === null ||
      (run.output.title === output.title &&
        run.output.summary === output.summary &&
        (output.text === null || run.output.text === output.text)))
  );
}
