#!/usr/bin/env escript
%% -*- coding: utf-8 -*-
%% Erlang's ftp: it resumes the control connection's session when told to.
-mode(compile).

main(_) ->
    {ok, _} = application:ensure_all_started(ssl),
    {ok, _} = application:ensure_all_started(ftp),
    io:setopts([{encoding, unicode}]),
    serve().

%% One job after the other (residents.py), each in a process of its own: with it ends its session, however it ends.
serve() ->
    case io:get_line("") of
        eof -> ok;
        Line ->
            %% An exit is told here alone, where an error would be logged to standard output as well.
            Work = fun() -> try job(string:trim(Line)) catch _:Why:Stack -> exit({Why, Stack}) end end,
            {_, Monitor} = spawn_monitor(Work),
            receive {'DOWN', Monitor, process, _, Reason} ->
                [io:format(standard_error, "~p~n", [Reason]) || Reason =/= normal],
                io:format("\x{1e}~b~n", [case Reason of normal -> 0; _ -> 1 end])
            end,
            serve()
    end.

%% The operations are in job.tsv, the environment in job.env.
lines(File) ->
    {ok, Text} = file:read_file(File),
    [Line || Line <- string:split(unicode:characters_to_list(Text), "\n", all), Line =/= []].

job(Folder) ->
    ok = file:set_cwd(Folder),
    [case string:split(Line, "=") of [Key, Value] -> os:putenv(Key, Value) end || Line <- lines("job.env")],
    Host = os:getenv("FTP_HOST"),
    Tls = [{cacertfile, os:getenv("FTP_CA")}, {verify, verify_peer},
           %% The name on the certificate: data connections go to an address.
           {server_name_indication, "localhost"}],
    Method = case os:getenv("FTP_MODE") of "implicit" -> ftps; _ -> ftpes end,
    Mode = case os:getenv("FTP_DATA") of "passive" -> passive; _ -> active end,
    Family = case lists:member($:, Host) of true -> inet6; false -> inet end,
    {ok, Ftp} = ftp:open(Host, [{port, list_to_integer(os:getenv("FTP_PORT"))}, {mode, Mode}, {timeout, 30000},
                                {ipfamily, Family}, {ftp_extension, os:getenv("FTP_DATA") =/= "PORT"}, {tls, Tls}, {tls_sec_method, Method},
                                {tls_ctrl_session_reuse, true}]),
    ok = ftp:user(Ftp, os:getenv("FTP_USER"), os:getenv("FTP_PASSWORD")),
    ok = ftp:type(Ftp, binary),
    [do(Ftp, string:split(Line, "\t", all)) || Line <- lines("job.tsv")],
    ok = ftp:close(Ftp).

%% The library writes a name as a list of bytes.
name(Text) -> binary_to_list(unicode:characters_to_binary(Text)).

do(Ftp, ["mkdir", Name]) -> ok = ftp:mkdir(Ftp, name(Name));
do(Ftp, ["put", Local, Remote]) -> ok = ftp:send(Ftp, Local, name(Remote));
do(Ftp, ["get", Remote, Local]) -> ok = ftp:recv(Ftp, name(Remote), Local);
do(Ftp, ["reput", Local, Remote]) ->
    {ok, Listing} = ftp:ls(Ftp, name(Remote)),
    [_, _, _, _, Size | _] = string:lexemes(Listing, " "),
    {ok, Whole} = file:read_file(Local),
    ok = ftp:append_bin(Ftp, binary:part(Whole, list_to_integer(Size), byte_size(Whole) - list_to_integer(Size)),
                        name(Remote));
do(Ftp, ["list"]) -> {ok, Listing} = ftp:ls(Ftp), show(Listing);
do(Ftp, ["nlst"]) -> {ok, Listing} = ftp:nlist(Ftp), show(Listing);
do(Ftp, ["rename", Old, New]) -> ok = ftp:rename(Ftp, name(Old), name(New));
do(Ftp, ["delete", Name]) -> ok = ftp:delete(Ftp, name(Name)).

show(Listing) -> io:put_chars(unicode:characters_to_list(list_to_binary(Listing))).
