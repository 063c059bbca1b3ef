import { z } from 'zod';
import { ClusterError, type ClusterErrorKind } from '../ports/cluster.ts';
import { FENCE_REMEDY } from './epoch-fence-data.ts';

/** What an API server's answer, or the lack of one, means to the rest of Bulkhead. */

/** More than this is asked for by no API server; a timer would take a far larger one for none. */
const MAX_RETRY_AFTER_MS = 60_000;
/** How the API server quotes our policies (manifests/admission) when it refuses something by it. */
const FENCE_POLICY = /ValidatingAdmissionPolicy 'bulkhead-fence(-resource)?'/;
/** What it says of a policy that cannot be evaluated for lack of its parameter, the fence itself. */
const NO_FENCE = 'failed to configure binding';

const statusSchema = z.object({
  message: z.string().optional(),
  reason: z.string().optional(),
  details: z
    .object({
      name: z.string().optional(),
      causes: z.array(z.object({ reason: z.string().optional(), field: z.string().optional() })).optional(),
      retryAfterSeconds: z.number().optional(),
    })
    .optional(),
});

type Status = z.infer<typeof statusSchema>;

/** An answer, whole. */
export interface Answer {
  readonly code: number;
  readonly text: string;
  /** The header of that name. */
  readonly retryAfter: string | null;
}

/** @throws ClusterError `unavailable` */
export function parseJson(what: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ClusterError('unavailable', `${what}: the answer was cut short or is no JSON`, { cause: error });
  }
}

/** Of a call that came to no answer. */
export function broken(what: string, error: unknown): ClusterError {
  const cause = error instanceof Error ? error : new Error(String(error));
  const text = cause.name === 'TimeoutError' ? 'no answer in time' : cause.message || cause.name;
  return new ClusterError('unavailable', `${what}: ${text}`, { cause });
}

function kindOf(code: number, { message = '', details }: Status): ClusterErrorKind {
  if (FENCE_POLICY.test(message)) return message.includes(NO_FENCE) ? 'unfenced' : 'fenced';
  if (details?.causes?.some((cause) => cause.reason === 'NamespaceTerminating')) return 'terminating';
  // A patch that names the UID of an object that was made anew meanwhile: for a PUT that is a 409.
  if (code === 422 && details?.causes?.some((cause) => cause.field === 'metadata.uid')) return 'conflict';
  switch (code) {
    case 401:
      return 'unauthorized';
    case 403:
      return 'forbidden';
    case 404:
      return 'gone';
    case 409:
    case 410:
      return 'conflict';
    case 400:
    case 405:
    case 413:
    case 415:
    case 422:
      return 'invalid';
    case 429:
      return 'throttled';
    default:
      return 'unavailable';
  }
}

function statusOf(text: string): Status {
  try {
    return statusSchema.parse(JSON.parse(text));
  } catch {
    // A proxy's or a load balancer's own page: its code and first words are all there is to say.
    return {};
  }
}

/** The API server's own words; a body that is no Status is quoted in short. */
export function errorOf(what: string, { code, text, retryAfter }: Answer): ClusterError {
  const status = statusOf(text);
  const seconds = Number(retryAfter) || (status.details?.retryAfterSeconds ?? 0);
  const kind = kindOf(code, status);
  const remedy = kind === 'unfenced' ? `; ${FENCE_REMEDY}` : '';
  const message = `${what}: ${code} ${status.message ?? text.slice(0, 200)}${remedy}`;
  const retryAfterMs = Math.min(seconds * 1000, MAX_RETRY_AFTER_MS);
  return new ClusterError(kind, message, seconds > 0 ? { retryAfterMs } : {});
}

/**
 * Whether this answer speaks of the server's load as a whole, and not of one object: that is, whether other writes had
 * better wait too. A webhook or an eviction may answer 429 for one object for ever.
 */
export function isOverload({ code, text }: Answer): boolean {
  if (code === 503) return true;
  if (code !== 429) return false;
  const { message = '', details } = statusOf(text);
  return details?.name === undefined && !message.startsWith('admission webhook');
}
