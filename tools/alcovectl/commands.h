// The commands, one function per subcommand, and the table that names them.
#pragma once

#include <vector>

#include "tools/alcovectl/command.h"

namespace alcove::ctl {

// Every command in the order --help lists them. The table lives as long as the program.
const std::vector<CommandSpec>& AllCommands();

// Groups of commands, one for each file.
std::vector<CommandSpec> StackCommands();       // up, down, status
std::vector<CommandSpec> CollectionCommands();  // collections list, create, get, delete
std::vector<CommandSpec> ClusterCommands();     // collections reshard; alias set, list, delete
std::vector<CommandSpec> BackupCommands();      // backup, restore
std::vector<CommandSpec> BackupsCommands();     // backups create, list, restore, delete
std::vector<CommandSpec> SearchCommands();      // search, similar
std::vector<CommandSpec> IngestCommands();      // ingest
std::vector<CommandSpec> KeyCommands();         // key create, list, revoke
std::vector<CommandSpec> PrivateCommands();     // private keygen, search, lookup, score, classifiers, keys, revoke
std::vector<CommandSpec> ShellCommands();       // completion, version

}  // namespace alcove::ctl
