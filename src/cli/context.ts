import type { ParsedRepoConfig, RepoConfig } from "../domain/repo-config.ts";

/** What a command knows of the terminal it runs in. */
export type CommandContext = {
  /** Relative paths are resolved against it: where the person stands, also under `npm run` (INIT_CWD). */
  cwd: string;
  stdout: (text: string) => void;
  stderr: (text: string) => void;
  /** True when stderr is a terminal: progress may be drawn. */
  isTerminal: boolean;
};

/** The settings that a `.github/funprm.yml` (null: there is none) gives; what it says wrongly stands on stderr, with its line. */
export function settingsOf(
  bytes: Uint8Array | null,
  parse: (text: string | null) => ParsedRepoConfig,
  { stderr }: Pick<CommandContext, "stderr">,
): RepoConfig {
  const { config, problems } = parse(bytes === null ? null : new TextDecoder().decode(bytes));
  for (const problem of problems) stderr(`funprm: .github/funprm.yml line ${problem.line}: ${problem.message}\n`);
  return config;
}
