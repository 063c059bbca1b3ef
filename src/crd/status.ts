import type { ConditionType, Phase } from '../job/status.ts';
import type { Structural } from './openapi.ts';

/**
 * The schema of `status`: what Bulkhead says of a job. It is loose on purpose: phases and reasons are no enums, so that a
 * newer operator can say new ones under an older definition.
 */

const PHASES: Readonly<Record<Phase, string>> = {
  Pending: 'not begun',
  Progressing: 'on its way',
  Running: 'all workers run the newest revision',
  Degraded: 'workers are missing or fail',
  Suspended: 'stopped on purpose',
  Waiting: 'something must pass first, see the conditions',
  Deleting: 'being removed',
  Gone: 'removed',
};

const CONDITIONS: Readonly<Record<ConditionType, string>> = {
  Ready: 'whether all workers run the newest revision (always there)',
  Reconciling: 'work is under way, or something passes by itself (absent otherwise)',
  Stalled: 'only a person, or a change from outside, gets it going (absent otherwise)',
};

const listed = (words: Readonly<Record<string, string>>): string =>
  Object.entries(words)
    .map(([word, meaning]) => `${word}: ${meaning}`)
    .join('; ');

const text = (description: string): Structural => ({ description, type: 'string' });
const count = (description: string): Structural => ({ description, type: 'integer', format: 'int32', minimum: 0 });
const number = (description: string): Structural => ({ description, type: 'integer', format: 'int64', minimum: 0 });

const condition: Structural = {
  description: 'One question about the job, and its answer.',
  type: 'object',
  required: ['type', 'status'],
  properties: {
    type: text(`The question. ${listed(CONDITIONS)}.`),
    status: {
      ...text(
        'The answer: True, False or Unknown. Ready is Unknown while the workers cannot be seen; they may well run.',
      ),
      enum: ['True', 'False', 'Unknown'],
    },
    reason: text('Why, as one CamelCase word that programs may compare. docs/conditions.md lists them.'),
    message: text('Why, as a sentence for people, and what to do where something can be done.'),
    lastTransitionTime: {
      ...text('When `status` changed last. A new reason or message alone does not move it.'),
      format: 'date-time',
    },
    observedGeneration: number('The metadata.generation that was looked at when this was said.'),
  },
};

export const statusSchema: Structural = {
  description: 'What was last seen of the job. Bulkhead writes it; what others write here is overwritten.',
  type: 'object',
  properties: {
    observedGeneration: number(
      'The metadata.generation that was looked at last: less than that of the object, an edit has not been seen yet.',
    ),
    jobId: text('The id of the job, which is never used again: not even by a later job of the same name.'),
    storeId: text('The id of the store (the Postgres database) that keeps the goal of this job.'),
    revision: number(
      'The newest revision of the goal, of whatever layer, that this status speaks of. `bulkhead history` lists them.',
    ),
    specRevision: number('The revision of layer `job` that `spec` holds. An edit of `spec` is taken as made from it.'),
    specHash: text(
      'SHA-256 of what that revision says: a store that was restored may have another one of that number.',
    ),
    phase: text(`The state of the job in one word; the conditions say why. ${listed(PHASES)}.`),
    workers: text('How many workers are ready, of how many that should be: "2/3".'),
    replicas: count('How many workers there are. `kubectl scale` and autoscalers read it.'),
    readyReplicas: count('How many of the workers are ready.'),
    restarts: count('How often containers of the workers that are there now were restarted.'),
    selector: text('Label selector of the pods of the workers, for autoscalers: bulkhead.dev/job-id=ID.'),
    tier: text('How isolated the cell is: the tier of the merged goal, also where `spec` names none.'),
    cell: text("The namespace of the job's cell: where its workers are, and its Secrets belong."),
    conditions: {
      description: 'What is the matter with the job, as kstatus has it.',
      type: 'array',
      items: condition,
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['type'],
    },
    writtenBy: text(
      'Which store wrote this status, and under which epoch. An admission policy compares it with the fence.',
    ),
  },
};
