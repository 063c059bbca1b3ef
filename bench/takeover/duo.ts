/** Two replicas of one contestant, of which one does the work and the other stands by. */
export interface Duo extends AsyncDisposable {
  /**
   * Sends the signal to the replica that acts, and in the same moment asks for an edit that it would have made.
   * @param replace whether to put another replica in its place afterwards, and to wait until that stands by
   * @returns from the signal until an independent watcher has seen the survivor's write, in milliseconds
   */
  lose(signal: 'SIGKILL' | 'SIGSTOP', replace: boolean): Promise<number>;
}

/** Nobody is given longer than this to take over. */
export const TAKEOVER_LIMIT_MS = 90_000;
