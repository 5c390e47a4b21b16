/** What the shop's page hands the panel. */

import type { Settings } from "./settings.js";

export interface Context {
  /** Its address. */
  page?: string;
  customer?: string;
  /** Names a destination. */
  token?: string;
  /** What the audio may cost. */
  quality?: string;
  /** What the page before this one has kept of its call. */
  call?: { token: string; panel?: Settings };
  /** The call was to have a window of its own. */
  blocked?: boolean;
  clicked?: boolean;
}
