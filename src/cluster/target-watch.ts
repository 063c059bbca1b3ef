import { statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ClusterTarget, readTarget, type TargetOptions } from './target.ts';

const LOOK_EVERY_MS = 1_000;

/** Changes when one of these files is written; costs a stat call each. */
function stampOf(files: readonly string[]): string {
  return files
    .map((file) => {
      try {
        const stat = statSync(file, { throwIfNoEntry: false });
        return stat ? `${stat.ino}:${stat.size}:${stat.mtimeMs}` : 'none';
      } catch {
        // May not be looked at for the moment; it is looked at again in a second.
        return 'unreadable';
      }
    })
    .join('|');
}

function filesOf({ kubeconfig }: TargetOptions, target: ClusterTarget): string[] {
  const usual = process.env.KUBECONFIG?.split(delimiter) ?? [join(homedir(), '.kube', 'config')];
  return [...(kubeconfig ? [kubeconfig] : usual), ...target.files];
}

/**
 * Resolves when the kubeconfig, or a file that it names, has come to say another address or other credentials than
 * `target` does, or when `signal` aborts. Never rejects.
 */
export async function untilTargetChanges(
  options: TargetOptions,
  target: ClusterTarget,
  signal: AbortSignal,
): Promise<void> {
  const files = filesOf(options, target);
  let seen: string | null = null;
  while (!signal.aborted) {
    const stamp = stampOf(files);
    if (stamp !== seen) {
      seen = stamp;
      try {
        if ((await readTarget(options)).fingerprint !== target.fingerprint) return;
      } catch {
        // Half-written or without our context for the moment: while the connection holds, it is good enough.
      }
    }
    await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
  }
}
