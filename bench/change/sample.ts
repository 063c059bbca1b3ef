/** One edit, timed. */
export interface Sample {
  /** When the store's acknowledgement was here, by performance.now(). */
  readonly committedAt: number;
  /** From then to the bytes of the watch event; less than 0 where the event was faster than the acknowledgement. */
  readonly seenMs: number;
}
