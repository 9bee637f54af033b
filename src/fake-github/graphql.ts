/** GraphQL: commits that are verified, threads of review comments, reactions; executed against GitHub's own schema. */
import { schema as source } from "@octokit/graphql-schema";
import { buildSchema, type GraphQLSchema, graphql, parse, validate } from "graphql";
import { commitFiles } from "./changes-git.ts";
import * as git from "./git.ts";
import { threadResolvers } from "./graphql-threads.ts";
import type { World } from "./state.ts";
import { Refusal } from "./types.ts";

let schema: GraphQLSchema | null = null;

type Input = {
  branch: { repositoryNameWithOwner: string; branchName: string };
  expectedHeadOid: string;
  message: { headline: string; body?: string };
  fileChanges?: { additions?: { path: string; contents: string }[]; deletions?: { path: string }[] };
  clientMutationId?: string;
};

/** Answered under status 200 with `errors[].type`, as GitHub does. */
class GraphqlRefusal extends Error {
  readonly type: string;

  constructor(type: string, message: string) {
    super(message);
    this.type = type;
  }
}

/**
 * The reply's body. A query that the schema does not know, and a field that no resolver answers, are protocol violations;
 * the response is an `effect` only when the mutation was applied.
 */
export async function answerGraphql(
  world: World,
  actor: string,
  allowed: (owner: string, repo: string, permission: string, level: "read" | "write") => boolean,
  body: { query?: unknown; variables?: Record<string, unknown> },
): Promise<{ reply: Record<string, unknown>; applied: boolean }> {
  schema ??= buildSchema(source.idl, { assumeValid: true, assumeValidSDL: true });
  const refuse = (messages: string[]) => {
    for (const message of messages) world.violation("request", "graphql", message);
    return { reply: { errors: messages.map((message) => ({ message })) }, applied: false };
  };
  const query = String(body.query ?? "");
  let problems: readonly Error[];
  try {
    problems = validate(schema, parse(query));
  } catch (error) {
    return refuse([(error as Error).message]);
  }
  if (problems.length > 0) return refuse(problems.map((problem) => problem.message));
  let applied = false;
  const result = await graphql({
    schema,
    source: query,
    variableValues: body.variables ?? {},
    rootValue: {
      createCommitOnBranch: ({ input }: { input: Input }) => {
        const payload = createCommitOnBranch(
          world,
          actor,
          (owner, repo) => allowed(owner, repo, "contents", "write"),
          input,
        );
        applied = true;
        return payload;
      },
      ...threadResolvers(
        world,
        actor,
        (repo, permission, level) => {
          if (!allowed(repo.owner, repo.name, permission, level))
            throw new GraphqlRefusal("FORBIDDEN", "Resource not accessible by integration");
        },
        () => {
          applied = true;
        },
      ),
    },
  });
  if (result.data == null && result.errors !== undefined && !applied) {
    const typed = result.errors.some((error) => error.originalError instanceof GraphqlRefusal);
    if (!typed) return refuse(result.errors.map((error) => error.message));
  }
  const errors = result.errors?.map((error) => ({
    ...(error.originalError instanceof GraphqlRefusal ? { type: error.originalError.type } : {}),
    path: error.path,
    locations: error.locations,
    message: error.message,
  }));
  return { reply: { data: result.data, ...(errors === undefined ? {} : { errors }) }, applied };
}

function createCommitOnBranch(
  world: World,
  actor: string,
  allowed: (owner: string, repo: string) => boolean,
  input: Input,
) {
  const [owner = "", name = ""] = (input.branch.repositoryNameWithOwner ?? "").split("/");
  if (!allowed(owner, name)) throw new GraphqlRefusal("FORBIDDEN", "Resource not accessible by integration");
  const repo = world.repo(owner, name);
  const branch = input.branch.branchName.replace(/^refs\/heads\//, "");
  const head = git.branchHead(repo.gitDir, branch);
  if (head === null)
    throw new GraphqlRefusal("NOT_FOUND", `Could not resolve to a Ref with the name "refs/heads/${branch}".`);
  if (head !== input.expectedHeadOid)
    throw new GraphqlRefusal(
      "STALE_DATA",
      `Expected branch to point to "${input.expectedHeadOid}" but it did not. Pull and try again.`,
    );
  if (input.message.headline.trim() === "") throw new GraphqlRefusal("UNPROCESSABLE", "A commit message is required.");
  const { additions = [], deletions = [] } = input.fileChanges ?? {};
  for (const { path } of [...additions, ...deletions]) {
    if (path.startsWith("/") || path.split("/").some((part) => ["", ".", "..", ".git"].includes(part.toLowerCase())))
      throw new GraphqlRefusal("UNPROCESSABLE", "A path was requested for modification that is malformed.");
    if (path.toLowerCase().startsWith(".github/workflows/") && world.app.permissions["workflows"] !== "write")
      throw new GraphqlRefusal(
        "FORBIDDEN",
        `Refusing to allow a GitHub App to create or update workflow \`${path}\` without \`workflows\` permission`,
      );
  }
  const known = new Set(git.listTree(repo.gitDir, head, { recursive: true }).map((entry) => entry.path));
  for (const { path } of deletions)
    if (!known.has(path))
      throw new GraphqlRefusal("NOT_FOUND", `A path was requested for deletion which does not exist: \`${path}\`.`);
  const message = [input.message.headline, input.message.body ?? ""].filter((part) => part !== "").join("\n\n");
  try {
    const oid = commitFiles(world, repo, {
      branch,
      parent: head,
      message,
      login: actor,
      files: [
        ...additions.map((one) => ({ path: one.path, content: Buffer.from(one.contents, "base64") })),
        ...deletions.map((one) => ({ path: one.path, content: null })),
      ],
    });
    const url = `${world.url}/${repo.owner}/${repo.name}/commit/${oid}`;
    const commit = { __typename: "Commit", oid, abbreviatedOid: oid.slice(0, 7), url, message };
    return {
      clientMutationId: input.clientMutationId ?? null,
      commit,
      ref: { name: branch, prefix: "refs/heads/", target: commit },
    };
  } catch (error) {
    if (error instanceof Refusal) throw new GraphqlRefusal("UNPROCESSABLE", error.message);
    throw error;
  }
}
