/** The only reader of `process.env`. */

/** Where the person stands: npm changes the working directory to the package and leaves the real one in INIT_CWD. */
export function invocationFolder(): string {
  return process.env["INIT_CWD"] ?? process.cwd();
}
