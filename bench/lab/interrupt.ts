/** What has to be cleaned up when somebody presses Ctrl-C, newest first. */

type CleanUp = () => Promise<unknown>;

const registered: CleanUp[] = [];
let listening = false;

/** @returns a function that takes the entry back */
export function onInterrupt(cleanUp: CleanUp): () => void {
  registered.push(cleanUp);
  if (!listening) {
    listening = true;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void cleanUpAll(signal));
  }
  return () => {
    const at = registered.indexOf(cleanUp);
    if (at >= 0) registered.splice(at, 1);
  };
}

async function cleanUpAll(signal: 'SIGINT' | 'SIGTERM'): Promise<void> {
  process.stderr.write(`\n${signal}: ending what was started …\n`);
  for (const cleanUp of registered.toReversed()) {
    try {
      await cleanUp();
    } catch (error) {
      process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    }
  }
  process.exit(signal === 'SIGINT' ? 130 : 143);
}
