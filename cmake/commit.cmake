# ngramstat_commit(VARIABLE): the commit of these sources, of the checkout or as a source distribution
# has written it down. Empty in other unpacked archives, even inside another repository.
function(ngramstat_commit variable)
  set(commit "")
  if(EXISTS ${CMAKE_SOURCE_DIR}/.git)
    execute_process(
      COMMAND git rev-parse HEAD
      WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
      OUTPUT_VARIABLE commit
      OUTPUT_STRIP_TRAILING_WHITESPACE
      ERROR_QUIET)
  elseif(EXISTS ${CMAKE_SOURCE_DIR}/COMMIT)
    file(STRINGS ${CMAKE_SOURCE_DIR}/COMMIT commit LIMIT_COUNT 1 REGEX "^[0-9a-f]+$")
  endif()
  set(${variable} "${commit}" PARENT_SCOPE)
endfunction()
