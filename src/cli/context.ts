/** What a command knows of the terminal it runs in. */
export type CommandContext = {
  /** Relative paths are resolved against it: where the person stands, also under `npm run` (INIT_CWD). */
  cwd: string;
  stdout: (text: string) => void;
  stderr: (text: string) => void;
  /** True when stderr is a terminal: progress may be drawn. */
  isTerminal: boolean;
};
